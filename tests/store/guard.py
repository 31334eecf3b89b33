"""
Stop a PostgreSQL server and remove its folder when the process that uses it has ended, however it did.

    guard.py PARENT FOLDER [USER GROUP] < a pipe that PARENT holds

A killed process cleans nothing up, but the kernel closes its end of the pipe.  PARENT is watched too, for a child that
it has forked may hold that end for longer.
"""

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path


def main(parent: str, place: str, *account: str) -> None:
    """Wait, then stop and remove."""
    while os.getppid() == int(parent) and not select.select([sys.stdin], [], [], 1.0)[0]:
        pass
    folder, latest = Path(place), time.monotonic() + 60
    while folder.exists():  # once more if the server was just starting, and made new files meanwhile
        if not _told_to_stop(folder, *account):
            shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > latest:
            sys.exit(1)
        time.sleep(0.02)


def _told_to_stop(folder: Path, *account: str) -> bool:
    """Tell the server to end at once; whether there is one. It removes the file with its number as the last."""
    try:
        number = (folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError):
        return False
    command = ["/bin/sh", "-c", 'kill -QUIT "$0"', number]
    # As the server's account: should the number be another's by now, it is not root who kills it.
    user, group = map(int, account) if account else (None, None)
    groups: list[int] | None = [] if account else None
    told = subprocess.run(command, user=user, group=group, extra_groups=groups, stderr=subprocess.DEVNULL, check=False)
    return told.returncode == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
