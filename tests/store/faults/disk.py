"""
A disk for SQLite that keeps a log of what is written and flushed, and fails when told to.

It is a VFS written with `ctypes`, registered as the default one in the very library that the module `sqlite3` uses: so
whoever opens a database in its folder, by whatever way, goes through it, and nobody has to be told.  It leaves the work
to the system's own VFS and lays its hands only on the calls that reach a file.

`images` tells from the log what power cuts would leave.
"""

import _sqlite3
import ctypes
import os
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, assert_never

import attrs

OK = 0
FULL = 13
CODES = {
    "open": 14,
    "read": 10 | 1 << 8,
    "write": 10 | 3 << 8,
    "sync": 10 | 4 << 8,
    "truncate": 10 | 6 << 8,
    "size": 10 | 7 << 8,
    "delete": 10 | 10 << 8,
    "access": 10 | 13 << 8,
    "lock": 10 | 15 << 8,
    "wal lock": 10 | 20 << 8,
    "wal map": 10 | 21 << 8,
}
"""What each kind of call says when the device fails: SQLITE_CANTOPEN and SQLITE_IOERR_*, from sqlite3.h."""

_JOURNALS = 0x00000800 | 0x00080000
"""SQLITE_OPEN_MAIN_JOURNAL and SQLITE_OPEN_WAL: with the first flush of one that it may make, it flushes the folder."""
_MAY_MAKE = 0x00000004
_SHM_LOCK = 2
_SECTOR = 512

# ------------------------------------------------------------------------------------- sqlite3.h, as far as needed

_Pointer, _Int, _Long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
# A path is a pointer, not a string: SQLite keeps what it knows of a file before and behind it.
_Open = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Pointer, _Int, _Pointer)
_Delete = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Int)
_Access = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Int, _Pointer)
_Close = ctypes.CFUNCTYPE(_Int, _Pointer)
_Transfer = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Int, _Long)
_Truncate = ctypes.CFUNCTYPE(_Int, _Pointer, _Long)
_Number = ctypes.CFUNCTYPE(_Int, _Pointer, _Int)
_Size = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer)
_ShmMap = ctypes.CFUNCTYPE(_Int, _Pointer, _Int, _Int, _Int, _Pointer)
_ShmLock = ctypes.CFUNCTYPE(_Int, _Pointer, _Int, _Int, _Int)


class _Methods(ctypes.Structure):
    _fields_ = (
        ("iVersion", _Int),
        ("xClose", _Close),
        ("xRead", _Transfer),
        ("xWrite", _Transfer),
        ("xTruncate", _Truncate),
        ("xSync", _Number),
        ("xFileSize", _Size),
        ("xLock", _Number),
        ("xUnlock", _Pointer),
        ("xCheckReservedLock", _Pointer),
        ("xFileControl", _Pointer),
        ("xSectorSize", _Pointer),
        ("xDeviceCharacteristics", _Pointer),
        ("xShmMap", _ShmMap),
        ("xShmLock", _ShmLock),
        ("xShmBarrier", _Pointer),
        ("xShmUnmap", _Pointer),
        ("xFetch", _Pointer),
        ("xUnfetch", _Pointer),
    )


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", _Int),
        ("szOsFile", _Int),
        ("mxPathname", _Int),
        ("pNext", _Pointer),
        ("zName", ctypes.c_char_p),
        ("pAppData", _Pointer),
        ("xOpen", _Open),
        ("xDelete", _Delete),
        ("xAccess", _Access),
        ("others", _Pointer * 12),
    )


def _library() -> ctypes.CDLL:
    """The library that `sqlite3` uses, found through the module: another copy of it would hear nothing from us."""
    library = ctypes.CDLL(_sqlite3.__file__)
    if not hasattr(library, "sqlite3_vfs_find"):
        raise RuntimeError("this Python hides the SQLite in it: run the fault tests with one that links to the library")
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_libversion.restype = ctypes.c_char_p
    assert library.sqlite3_libversion().decode() == sqlite3.sqlite_version
    return library


# -------------------------------------------------------------------------------------------------------------- the log


@attrs.frozen
class Create:
    """A file was made."""

    name: str
    file: int


@attrs.frozen
class Write:
    """Bytes were handed to the system."""

    file: int
    offset: int
    data: bytes


@attrs.frozen
class Truncate:
    """A file was cut."""

    file: int
    size: int


@attrs.frozen
class Sync:
    """What was done to a file before is on the disk now; if *folder*, so are the names of all files."""

    file: int
    folder: bool


@attrs.frozen
class Delete:
    """A name was removed; if *folder*, all names are on the disk now."""

    name: str
    folder: bool


Operation = Create | Write | Truncate | Sync | Delete
Fault = Callable[[str, str, int], int]
"""Asked with kind, name and number (from 1) of each call; gives the code that the call shall fail with, or `OK`."""


@attrs.define
class _File:
    name: str
    number: int
    flushes_folder: bool
    below: Any
    """The methods of the system's VFS."""


_leaked: list["Disk"] = []


class Disk:
    """
    What SQLite does to the files of one folder; use it with ``with``, one at a time.

    Args:
        folder: Whose files count; all others are left alone.
    """

    def __init__(self, folder: Path) -> None:
        self.log: list[Operation] = []
        """All that was done, in order."""
        self.calls: list[tuple[str, str]] = []
        """All that was asked for, failed or not: kind and name."""
        self.fault: Fault = lambda *_: OK
        self._where = folder.resolve()
        self._folder = os.fsencode(self._where) + b"/"
        self._numbers: dict[str, int] = {}
        self._made = 0
        self._files: dict[int, _File] = {}
        self._tables: dict[int, tuple[Any, Any]] = {}

    def __enter__(self) -> Self:
        self._library = _library()
        self._default = self._library.sqlite3_vfs_find(None)
        self._below: Any = self._default.contents
        self._vfs: Any = _Vfs.from_buffer_copy(self._below)
        self._vfs.pNext, self._vfs.zName = None, b"logged"
        self._vfs.xOpen = _Open(self._open)
        self._vfs.xDelete = _Delete(self._delete)
        self._vfs.xAccess = _Access(self._access)
        assert self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1) == OK
        return self

    def __exit__(self, *_: object) -> None:
        assert self._library.sqlite3_vfs_register(self._default, 1) == OK
        assert self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs)) == OK
        if self._files:
            _leaked.append(self)  # for SQLite will come back to it
            raise RuntimeError(f"still open: {[file.name for file in self._files.values()]}")

    def _asked(self, kind: str, name: str) -> int:
        self.calls.append((kind, name))
        return self.fault(kind, name, len(self.calls))

    def _name(self, path: int | None) -> str | None:
        """The name of a file in the folder; None for any other, and for a temporary one, which has none."""
        found = b"" if path is None else ctypes.string_at(path)
        return os.fsdecode(found[len(self._folder) :]) if found.startswith(self._folder) else None

    # ------------------------------------------------------------------------------------------------ what SQLite calls

    def _open(self, _: int, path: int | None, address: int, flags: int, out: int | None) -> int:
        name = self._name(path)
        methods = ctypes.cast(address, ctypes.POINTER(_Pointer))
        if name is not None and (code := self._asked("open", name)):
            methods[0] = None  # nothing to close
            return code
        old = name is not None and (self._where / name).exists()
        code = int(self._below.xOpen(ctypes.addressof(self._below), path, address, flags, out))
        if code != OK or name is None:
            return code
        if name not in self._numbers:
            self._made += 1
            self._numbers[name] = self._made
            self.log.append(Create(name, self._made))
            if old:  # it was there before the log began
                content = (self._where / name).read_bytes()
                self.log += [Write(self._made, 0, content), Sync(self._made, folder=True)]
        below, ours = self._table(methods[0])
        flushes_folder = bool(flags & _JOURNALS and flags & _MAY_MAKE)
        self._files[address] = _File(name, self._numbers[name], flushes_folder, below)
        methods[0] = ctypes.addressof(ours)
        return OK

    def _table(self, address: Any) -> tuple[Any, Any]:
        if address not in self._tables:
            below: Any = _Methods.from_address(address)
            ours: Any = _Methods.from_buffer_copy(below)
            for name, type_ in _Methods._fields_:
                if method := getattr(self, f"_{name}", None):
                    setattr(ours, name, type_(method))
            self._tables[address] = below, ours
        return self._tables[address]

    def _delete(self, _: int, path: int, folder: int) -> int:
        name = self._name(path)
        if name is not None and (code := self._asked("delete", name)):
            return code
        code = int(self._below.xDelete(ctypes.addressof(self._below), path, folder))
        if code == OK and name is not None:
            self._numbers.pop(name, None)
            self.log.append(Delete(name, bool(folder)))
        return code

    def _access(self, _: int, path: int, flags: int, out: int) -> int:
        name = self._name(path)
        if name is not None and (code := self._asked("access", name)):
            return code
        return int(self._below.xAccess(ctypes.addressof(self._below), path, flags, out))

    def _xClose(self, address: int) -> int:  # noqa: N802 -- SQLite's names for its methods
        return int(self._files.pop(address).below.xClose(address))

    def _xRead(self, address: int, data: int, length: int, offset: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        return self._asked("read", file.name) or int(file.below.xRead(address, data, length, offset))

    def _xWrite(self, address: int, data: int, length: int, offset: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        failed = self._asked("write", file.name)
        done = length // 2 if failed else length  # a failing device may have written a part
        code = int(file.below.xWrite(address, data, done, offset))
        if code == OK:
            self.log.append(Write(file.number, offset, ctypes.string_at(data, done)))
        return failed or code

    def _xTruncate(self, address: int, size: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        code = self._asked("truncate", file.name) or int(file.below.xTruncate(address, size))
        if code == OK:
            self.log.append(Truncate(file.number, size))
        return code

    def _xSync(self, address: int, flags: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        code = self._asked("sync", file.name) or int(file.below.xSync(address, flags))
        if code == OK:
            self.log.append(Sync(file.number, file.flushes_folder))
            file.flushes_folder = False
        return code

    def _xFileSize(self, address: int, size: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        return self._asked("size", file.name) or int(file.below.xFileSize(address, size))

    def _xLock(self, address: int, level: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        return self._asked("lock", file.name) or int(file.below.xLock(address, level))

    def _xShmMap(self, address: int, region: int, size: int, extend: int, out: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        return self._asked("wal map", file.name) or int(file.below.xShmMap(address, region, size, extend, out))

    def _xShmLock(self, address: int, offset: int, number: int, flags: int) -> int:  # noqa: N802 -- as above
        file = self._files[address]
        failed = self._asked("wal lock", file.name) if flags & _SHM_LOCK else OK  # unlocking cannot fail
        return failed or int(file.below.xShmLock(address, offset, number, flags))


# --------------------------------------------------------------------------------------------------------- power cuts


@attrs.define
class _Content:
    """A file: what is on the disk, and what was done to it since it was flushed."""

    flushed: bytearray = attrs.Factory(bytearray)
    pending: list[Write | Truncate] = attrs.Factory(list)


def _apply(content: bytearray, operation: Write | Truncate) -> None:
    match operation:
        case Write(_, offset, data):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        case Truncate(_, size):
            del content[size:]
        case _:
            assert_never(operation)


def images(
    log: Sequence[Operation], cuts: Iterable[int], rng: random.Random, *, kept: float
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """
    What is on the disk after power cuts.

    All that was flushed is there.  Of the rest each write may be missing or torn at a sector, in any order; names that
    were made or removed since the folder was flushed are so up to some moment.

    Args:
        log: What was done.
        cuts: After how many operations the power goes, in order.
        rng: Chooses what becomes of what was not flushed.
        kept: How likely each of these writes is to be kept whole; 0: nothing is kept, not even in part.

    Yields:
        Each cut, and the files that it leaves.
    """
    contents: dict[int, _Content] = {}
    names: dict[str, int] = {}
    pending: list[Create | Delete] = []
    done = 0
    for cut in cuts:
        for operation in log[done:cut]:
            match operation:
                case Create(_, file):
                    contents[file] = _Content()
                    pending.append(operation)
                case Write(file) | Truncate(file):
                    contents[file].pending.append(operation)
                case Sync(file):
                    for one in contents[file].pending:
                        _apply(contents[file].flushed, one)
                    contents[file].pending.clear()
                case Delete():
                    pending.append(operation)
                case _:
                    assert_never(operation)
            if isinstance(operation, Sync | Delete) and operation.folder:
                _rename(names, pending)
                pending.clear()
        done = cut
        left = dict(names)
        _rename(left, pending[: rng.randint(0, len(pending)) if kept else 0])
        yield cut, {name: _left(contents[file], rng, kept) for name, file in left.items()}


def _rename(names: dict[str, int], operations: Iterable[Create | Delete]) -> None:
    for operation in operations:
        match operation:
            case Create(name, file):
                names[name] = file
            case Delete(name):
                names.pop(name, None)
            case _:
                assert_never(operation)


def _left(content: _Content, rng: random.Random, kept: float) -> bytes:
    left = bytearray(content.flushed)
    for operation in content.pending:
        if rng.random() < kept:
            _apply(left, operation)
        elif kept and isinstance(operation, Write) and rng.random() < 0.5:
            whole = rng.randrange(len(operation.data) // _SECTOR + 1) * _SECTOR
            _apply(left, Write(operation.file, operation.offset, operation.data[:whole]))
    return bytes(left)
