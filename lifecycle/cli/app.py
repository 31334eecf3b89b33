"""The commands as a user types them: names, arguments, help. What they do stands in the modules beside this one."""

import gc
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import App, CycloptsError, Parameter, Token
from cyclopts.validators import Number

from lifecycle import HOSTED, LAWS, EngineError, LogError, Profile, StoreError
from lifecycle.cli.output import (
    CLEAN,
    FAILED,
    INTERRUPTED,
    USAGE,
    Format,
    UsageError,
    abandon,
    talk,
    until_closed,
    write,
)

# cyclopts takes a bare "-" for an option; with allow_leading_hyphen it would take it, and every mistyped option with
# it.  So a lone hyphen travels as a character that no argument of a process can hold.
_HYPHEN = "\0"


# Where a `Path` is annotated, shells complete files; it stays the text that it was, for Path("") is ".".
def _word(_kind: type, tokens: Sequence[Token]) -> Any:
    return tokens[0].value.replace(_HYPHEN, "-")


def _files(_kind: type, tokens: Sequence[Token]) -> Any:
    return tuple(token.value.replace(_HYPHEN, "-") for token in tokens)


ProfileName = Literal["laws", "hosted"]
PROFILES: dict[ProfileName, Profile] = {"laws": LAWS, "hosted": HOSTED}

_LOG_HELP = (
    "An event log: JSON Lines, compressed with gzip or not, or Parquet, whatever its name; - is standard input. "
    "A folder stands for the Parquet files in it, a quoted pattern for what it matches. Or the URL of a store, as for "
    "`lifecycle store`. Several are one log, in the order given."
)
# For every argument that is repeated, cyclopts calls the converter once for each word.
Logs = Annotated[Path, Parameter(name="LOG", required=True, converter=_word, help=_LOG_HELP)]
_SNAPSHOTS_HELP = (
    "Snapshots: one object, an array, a list page or JSON Lines, compressed with gzip or not; - is standard input."
)
_SNAPSHOT_HELP = "a file with one snapshot, compressed with gzip or not; - is standard input."
Files = Annotated[Path, Parameter(name="FILE", required=True, converter=_word, help=_SNAPSHOTS_HELP)]
Polls = Annotated[Path, Parameter(name="POLLS", required=True, converter=_word, help=_SNAPSHOTS_HELP)]
BatchId = Annotated[str | None, Parameter(converter=_word, help="Only this batch.")]
Until = Annotated[
    str | None,
    Parameter(
        converter=_word,
        help="Only what was recorded up to this version of each batch, or up to this time, "
        "such as 2025-01-29T14:24:59Z; inclusive.",
    ),
]
ProfileOption = Annotated[
    ProfileName,
    Parameter(help="Which rules count: the laws alone, or what the hosted API promises, with advice."),
]
Url = Annotated[
    str,
    Parameter(
        name="URL",
        converter=_word,
        help="A store: sqlite:///batches.db, or postgresql://user:password@host/database.",
    ),
]
FormatOption = Annotated[
    Format,
    Parameter(name="--format", help="For people, as one JSON document, or as one JSON object a line."),
]

_EPILOGUE = """\
Data goes to stdout, talk to stderr.

Exit status: 0 clean, 1 findings (advice alone does not count), 2 usage, \
3 input that cannot be opened or read to its end, or output that cannot be written, 130 interrupted.

Examples:

    lifecycle audit night.jsonl
    lifecycle COMMAND --help
"""


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"lifecycle {version('lifecycle')}"
    except PackageNotFoundError:
        return "lifecycle (not installed)"


app = App(
    name="lifecycle",
    help="What happened to your Message Batches: rebuild them from event logs, and find what cannot be.",
    help_format="plaintext",
    help_epilogue=_EPILOGUE,
    version=_version,
    suppress_keyboard_interrupt=False,
)


Function = TypeVar("Function", bound=Callable[..., int])


def _command(*examples: str, to: App = app, name: str | None = None) -> Callable[[Function], Function]:
    """Register a command: its help is its docstring, each paragraph in one piece, so that a terminal can fold it."""

    def register(function: Function) -> Function:
        paragraphs = [" ".join(text.split()) for text in (function.__doc__ or "").split("\n\n")]
        epilogue = "Examples:\n\n" + "\n".join(f"    {line}" for line in examples)
        to.command(function, name=name, help="\n\n".join(paragraphs), help_epilogue=epilogue)
        return function

    return register


@_command(
    "lifecycle replay night.jsonl",
    "lifecycle replay january.jsonl.gz february.jsonl --format jsonl",
    "lifecycle replay night.jsonl --until 2025-01-29T14:24:59Z",
    "lifecycle replay night.jsonl --batch msgbatch_01 --until 3",
    "zcat old/*.gz | lifecycle replay - --format json",
    "lifecycle replay sqlite:///batches.db --batch msgbatch_01",
)
def replay(
    *logs: Logs,
    batch: BatchId = None,
    until: Until = None,
    profile: ProfileOption = "laws",
    form: FormatOption = "table",
) -> int:
    """
    Show the state of each batch of a log.

    One row a batch, in order of first appearance. An event that breaks a law is left out, and the batch goes on without
    it; stderr tells of it.
    """
    from lifecycle.cli import logs as commands

    return commands.replay(_names(logs), batch, commands.parse_until(until), PROFILES[profile], form)


@_command(
    "lifecycle audit night.jsonl",
    "lifecycle audit *.jsonl --profile hosted --format jsonl",
    "lifecycle audit - < night.jsonl",
    "lifecycle audit sqlite:///batches.db --profile hosted",
    "lifecycle audit year.jsonl --jobs 0",
    "lifecycle audit 'logs/*.parquet' --order version --memory-limit 512MB",
    "lifecycle audit night.jsonl --html night.html",
    "lifecycle audit 'logs/*.parquet' --engine spark --master spark://host:7077",
    "lifecycle audit --follow night.jsonl --checkpoint night.checkpoint --findings findings.jsonl",
)
def audit(
    *logs: Logs,
    profile: ProfileOption = "laws",
    form: FormatOption = "table",
    order: Annotated[
        Literal["log", "version"],
        Parameter(
            help="In which order the events of a batch are judged: as they stand in the log; or by version (ties by "
            "the path of the file, then line), whatever the order of the files. That needs DuckDB or Spark."
        ),
    ] = "log",
    engine: Annotated[
        Literal["one", "duckdb", "spark"] | None,
        Parameter(
            help="Who brings the events of a batch together: one pass, with a small state for each batch; or DuckDB, "
            "which sorts first, in little memory; or Spark, which does so on many machines. By default it is one pass, "
            "and DuckDB where another of its options is given, or Parquet among other logs.",
        ),
    ] = None,
    memory_limit: Annotated[
        str | None,
        Parameter(converter=_word, help="How much memory DuckDB may take, such as 512MB; the rest goes to TMPDIR."),
    ] = None,
    threads: Annotated[
        int | None, Parameter(validator=Number(gte=1), help="How many threads DuckDB may use; by default all cores.")
    ] = None,
    jobs: Annotated[
        int,
        Parameter(
            validator=Number(gte=0),
            help="How many processes read a long log of lines in one pass; 0: one for each core. They need NumPy. "
            "With two or more, Parquet is read ahead.",
        ),
    ] = 1,
    html: Annotated[
        Path | None,
        Parameter(
            converter=_word,
            help="Write a page for people, too: one new file that loads nothing, for any browser.",
        ),
    ] = None,
    force: Annotated[bool, Parameter(negative="", help="Overwrite the page.")] = False,
    master: Annotated[
        str | None,
        Parameter(
            converter=_word,
            help="Which cluster of Spark, such as spark://host:7077 or yarn; by default it is this machine. Its "
            "workers have to reach the logs under the same paths, and have lifecycle[spark] installed.",
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1), help="In how many parts Spark sorts and judges; by default it finds out by itself."
        ),
    ] = None,
    follow: Annotated[
        bool,
        Parameter(
            negative="",
            help="Wait for more, and write each finding as it comes, one a line, until interrupted. For files in "
            "lines, and stores. The options below go with it.",
        ),
    ] = False,
    forget_after: Annotated[
        str | None,
        Parameter(
            converter=_word,
            help="Keep of a batch that ended so long ago only what late events of it are judged by; by the times in "
            "the log. Such as 12h; 1d unless given.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        Parameter(converter=_word, help="A file that says how to go on after a restart. It is made if there is none."),
    ] = None,
    findings: Annotated[
        Path | None,
        Parameter(
            converter=_word,
            help="A file that gets each finding, as a line of JSON, once and once only, however it is killed. "
            "It needs --checkpoint.",
        ),
    ] = None,
    checkpoint_every: Annotated[
        str | None,
        Parameter(converter=_word, help="How often the checkpoint is written at the most; 10s unless given."),
    ] = None,
    until_end: Annotated[
        bool, Parameter(negative="", help="End when all that has come is judged, instead of waiting for more.")
    ] = False,
) -> int:
    """
    Find everything that is wrong with a log.

    One row a finding, with file and line, sorted by batch, version and rule, whoever found it. A line that is no record
    is a finding of the rule "wire", and comes first; reading goes on after it. In a store the place is its URL without
    the password, and the position; in Parquet it is the row.
    """
    from lifecycle.cli import logs as commands

    followed = {
        "--forget-after": forget_after,
        "--checkpoint": checkpoint,
        "--findings": findings,
        "--checkpoint-every": checkpoint_every,
        "--until-end": until_end or None,
    }
    if follow:
        from lifecycle.cli import following

        others = {
            "--engine": engine is not None,
            "--order": order != "log",
            "--memory-limit": memory_limit is not None,
            "--threads": threads is not None,
            "--jobs": jobs != 1,
            "--master": master is not None,
            "--partitions": partitions is not None,
            "--html": html is not None,
            "--force": force,
        }
        options = following.How(forget_after, _name(checkpoint), _name(findings), checkpoint_every, until_end=until_end)
        given = [option for option, is_given in others.items() if is_given]
        return following.follow(_names(logs), PROFILES[profile], form, options, given)
    for option, value in followed.items():
        if value is not None:
            raise UsageError(f"{option} goes with --follow")
    how = commands.How(engine, order, memory_limit, threads, jobs, master, partitions, _name(html), force)
    return commands.audit(_names(logs), PROFILES[profile], form, how)


@_command(
    "lifecycle convert january.jsonl.gz february.jsonl winter.parquet",
    "lifecycle convert winter.parquet - | grep msgbatch_01",
    "lifecycle convert 'logs/*.parquet' sqlite:///batches.db",
    "lifecycle convert postgresql://me@db/batches batches.parquet --force",
)
def convert(
    logs: Annotated[list[Path], Parameter(name="LOG", converter=_files, help=_LOG_HELP)],
    to: Annotated[
        str,
        Parameter(
            name="OUT",
            converter=_word,
            help="A new file: Parquet if its name ends in .parquet, else JSON Lines; - is standard output. Or the URL "
            "of a store, which is made if there is none.",
        ),
    ],
    /,
    *,
    skip: Annotated[bool, Parameter(negative="", help="Leave out what is no record, and convert the rest.")] = False,
    force: Annotated[bool, Parameter(negative="", help="Overwrite OUT.")] = False,
) -> int:
    """
    Write logs in another form: JSON Lines, Parquet, or a store.

    Records stay as they are: from JSON Lines to Parquet and back gives the same bytes. No rule is judged, except by a
    store, which takes nothing that breaks a law: it is filled as by `lifecycle store import`.

    A file appears when it is complete. At a line or row that is no record it ends, and there is no file; with --skip
    that is left out, and the exit status is 1.
    """
    from lifecycle.cli import converting

    return converting.convert(_names(logs), to, skip=skip, force=force)


@_command(
    "lifecycle check snapshots.jsonl",
    "lifecycle check page.json --profile hosted --format jsonl",
    "curl … | lifecycle check -",
)
def check(*files: Files, profile: ProfileOption = "laws", form: FormatOption = "table") -> int:
    """
    Judge snapshots of batches, each alone.

    A body that cannot be read as a snapshot is a finding of the rule "wire", one for each of its problems.
    """
    from lifecycle.cli import snapshots

    return snapshots.check(_names(files), PROFILES[profile], form)


@_command(
    "lifecycle observe polls.jsonl > night.jsonl",
    "lifecycle observe monday.jsonl.gz tuesday.jsonl --profile hosted > week.jsonl",
    "curl … | lifecycle observe -",
)
def observe(*polls: Polls, profile: ProfileOption = "laws") -> int:
    """
    Turn snapshots, as polling gave them, into a log of what happened.

    Snapshots of any number of batches, which may repeat one another, skip phases and come late. A poll may say when it
    was made: {"observed_at": "2025-01-29T14:25:41Z", "snapshot": {…}}, or with observed_at among the snapshot's own
    keys. That becomes the time of the record; else it is the latest time of what the snapshot says has happened.

    A snapshot that contradicts those before it is told on stderr and left out.
    """
    from lifecycle.cli import polls as commands

    return commands.observe(_names(polls), PROFILES[profile])


@_command(
    "lifecycle diff yesterday.json today.json",
    "lifecycle diff a.json b.json --profile hosted --format json",
    "curl … | lifecycle diff known.json -",
)
def diff(
    a: Annotated[Path, Parameter(name="A", converter=_word, help=f"What is known: {_SNAPSHOT_HELP}")],
    b: Annotated[Path, Parameter(name="B", converter=_word, help=f"What is shown: {_SNAPSHOT_HELP}")],
    /,
    *,
    profile: ProfileOption = "laws",
    form: FormatOption = "table",
) -> int:
    """
    Compare two snapshots of a batch: is B later than A, and by which events, or equal, stale, or a contradiction?

    A contradiction makes the exit status 1, and what contradicts is told; a difference alone does not. A
    file that does not hold one snapshot makes it 3.
    """
    from lifecycle.cli import polls as commands

    return commands.diff(os.fspath(a), os.fspath(b), PROFILES[profile], form)


@_command(
    "lifecycle outcome snapshots.jsonl",
    "lifecycle outcome page.json --format jsonl",
    "curl … | lifecycle outcome -",
)
def outcome(*files: Files, profile: ProfileOption = "laws", form: FormatOption = "table") -> int:
    """
    Say what each snapshot's batch amounts to, and what to do now.

    One row a snapshot: pending, succeeded, errored, canceled, expired, partial, failed or empty. A snapshot that breaks
    a rule has an outcome, too, but stderr tells that it cannot be.
    """
    from lifecycle.cli import polls as commands

    return commands.outcome(_names(files), PROFILES[profile], form)


@_command(
    "lifecycle reconcile batch.json results.jsonl",
    "lifecycle reconcile batch.json results.jsonl.gz --submitted requests.jsonl",
    "lifecycle reconcile batch.json results.jsonl --submitted ids.txt --format jsonl",
    "curl … | lifecycle reconcile batch.json -",
)
def reconcile(
    batch: Annotated[
        str, Parameter(name="BATCH", converter=_word, help=f"The batch, since it has ended: {_SNAPSHOT_HELP}")
    ],
    results: Annotated[
        str,
        Parameter(
            name="RESULTS",
            converter=_word,
            help="Its results, compressed with gzip or not; - is standard input. Nothing is fetched.",
        ),
    ],
    /,
    *,
    submitted: Annotated[
        str | None,
        Parameter(
            converter=_word,
            help="The ids of its requests: a file with one id a line, the requests as JSON Lines or as an array, or "
            "the body that created the batch; compressed or not; - is standard input.",
        ),
    ] = None,
    form: FormatOption = "table",
) -> int:
    """
    Hold a results file against its batch: is each request answered once, and which have to be sent again?

    Finds lines that are no results and counts that are not those of the batch; with the submitted ids, missing,
    duplicate and foreign ids too. Then lists the requests without an answer, and whether each may be sent again as it
    is. Those are no findings: a file is clean if it agrees with its batch.
    """
    from lifecycle.cli import reconciling

    return reconciling.reconcile(batch, results, submitted, form)


@_command(
    "lifecycle show night.jsonl msgbatch_01",
    "lifecycle show january.jsonl february.jsonl msgbatch_01 --until 3",
    "lifecycle show sqlite:///batches.db msgbatch_01",
    "lifecycle show night.jsonl -- -odd-id",
)
def show(
    logs: Annotated[list[Path], Parameter(name="LOG", converter=_files, help=_LOG_HELP)],
    batch_id: Annotated[str, Parameter(name="ID", converter=_word, help="The batch.")],
    /,
    *,
    until: Until = None,
    profile: ProfileOption = "laws",
) -> int:
    """Show one batch's life: each event, what it changed, the time between, what was allowed, and what is wrong."""
    from lifecycle.cli import logs as commands

    return commands.show(_names(logs), batch_id, commands.parse_until(until), PROFILES[profile])


@_command(
    "lifecycle track msgbatch_01 msgbatch_02 --log night.jsonl",
    "lifecycle track msgbatch_01 --log night.jsonl --results answers/",
    "lifecycle track msgbatch_01 --log sqlite:///batches.db --profile hosted",
    "lifecycle track $(cat ids.txt) --log night.jsonl >> events.txt",
)
def track(
    *ids: Annotated[str, Parameter(name="ID", required=True, converter=_word, help="The batches.")],
    log: Annotated[
        str,
        Parameter(
            converter=_word,
            help="Where the events are kept: a log file, or the URL of a store, as for `lifecycle store`. It is made "
            "if there is none, and gone on with if there is one.",
        ),
    ],
    results: Annotated[
        Path | None,
        Parameter(converter=_word, help="A folder for the results of each batch that ends. What is there is kept."),
    ] = None,
    requests_per_second: Annotated[
        float, Parameter(validator=Number(gt=0), help="At most so many requests a second, for all batches together.")
    ] = 5.0,
    profile: ProfileOption = "laws",
) -> int:
    """
    Follow batches of the API until all have ended, and log what happens to them.

    On a terminal a row a batch, redrawn as time goes by; elsewhere one line an event. The key is the official client's
    business: ANTHROPIC_API_KEY, or whatever else it reads.

    Interrupt it whenever you like: the log is whole, and the same command goes on from it. Exit status 1 if a snapshot
    was contradictory, or if results are missing or do not agree with their batch.
    """
    from lifecycle.cli import tracking

    folder = None if results is None else os.fspath(results)
    return tracking.track(ids, log, folder, PROFILES[profile], requests_per_second)


@_command("lifecycle explain B7", "lifecycle explain counts_updated", "lifecycle explain archived")
def explain(
    word: Annotated[
        str, Parameter(name="RULE|EVENT|PHASE", converter=_word, help="Such as B7, counts_updated, canceling, wire.")
    ],
    /,
) -> int:
    """Explain a rule, an event or a phase: what it says, who says so, what is allowed, and an example."""
    from lifecycle.cli import explaining

    return explaining.explain(word)


@_command("lifecycle machine", "lifecycle machine --format mermaid")
def machine(
    *,
    form: Annotated[
        Literal["table", "mermaid", "json"],
        Parameter(name="--format", help="For people, for a diagram, or for programs."),
    ] = "table",
) -> int:
    """Show the arrows of a batch's life: which event leads from which phase to which."""
    from lifecycle.cli import explaining

    return explaining.machine(form)


@_command("lifecycle schema", "lifecycle schema snapshot > snapshot.json")
def schema(
    name: Annotated[
        str | None,
        Parameter(name="NAME", converter=_word, help="Which one; by default they are listed."),
    ] = None,
    /,
) -> int:
    """
    Write a JSON Schema (2020-12): of a snapshot, of an event's data, of a log's line, of a report.

    Schemas refer to one another by their files' names: let them lie in one folder, each as NAME.json.
    """
    from lifecycle.cli import schemas

    return schemas.schema(name)


@_command(
    "lifecycle generate --events 1000 --seed 7 > night.jsonl",
    "lifecycle generate --events 1000 --seed 7 --faults 0.01 2> faults.txt > bad.jsonl",
)
def generate(
    *,
    events: Annotated[int, Parameter(validator=Number(gte=0), help="How many lines.")],
    seed: Annotated[int, Parameter(validator=Number(gte=0), help="The same seed gives the same log, everywhere.")],
    faults: Annotated[
        float,
        Parameter(
            help="The share of lines that break a rule, 0 to 1; "
            "each is labelled on stderr: its line, rule, batch and version."
        ),
    ] = 0.0,
    interleave: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1),
            help="How many batches are alive at a time; by default one for 40 events, at most 100. "
            "In a long log the lives get longer, not more.",
        ),
    ] = None,
) -> int:
    """Write a made-up log to stdout: legal under the profile "hosted", but for the faults that are asked for."""
    if not 0 <= faults <= 1:
        raise UsageError(f"--faults: expected a share from 0 to 1, got {faults}")
    from lifecycle.cli import generating

    return generating.generate(events, seed, faults, interleave)


conform = App(
    name="conform",
    help="Hold anybody's implementation to the specifications, whatever it is written in.",
    help_format="plaintext",
)
app.command(conform)


@_command(
    "lifecycle conform vectors -- python specs/validators/pydantic_model.py",
    "lifecycle conform vectors --only B7 -- ./validate --quiet",
    "lifecycle conform vectors --format jsonl -- node validate.js",
    to=conform,
)
def vectors(
    *command: Annotated[
        str, Parameter(name="COMMAND", converter=_word, help="The program and its arguments, after --.")
    ],
    only: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            converter=_files,
            help="Only vectors of this kind (such as snapshot), about this rule, or with this flag or id.",
        ),
    ] = (),
    timeout: Annotated[
        float, Parameter(validator=Number(gt=0), help="How many seconds to wait for the next answer.")
    ] = 10.0,
    form: FormatOption = "table",
) -> int:
    """
    Put the conformance vectors to a program, and score it by rule.

    The program gets one question a line on stdin, as JSON, and answers each with a line on stdout: the page
    specs/vectors.md says how. It is started as it is given, without a shell.

    Exit status 1 if any answer is missing or wrong.
    """
    from lifecycle.cli import conforming

    return conforming.conform(only, command, timeout, form)


stores = App(
    name="store",
    help="Keep events in a store, an SQLite file or a PostgreSQL database: bring logs in and out, and look after it.",
    help_format="plaintext",
)
app.command(stores)


@_command(
    "lifecycle store import night.jsonl --to sqlite:///batches.db",
    "lifecycle store import *.jsonl.gz --skip --to postgresql://me@db/batches",
    "lifecycle store import sqlite:///batches.db --to postgresql://me@db/batches",
    "zcat old/*.gz | lifecycle store import - --to sqlite:///batches.db",
    to=stores,
    name="import",
)
def store_import(
    *logs: Logs,
    to: Annotated[
        str,
        Parameter(
            name="--to",
            converter=_word,
            help="The store: sqlite:///batches.db, or postgresql://user:password@host/database. "
            "It is made if there is none.",
        ),
    ],
    skip: Annotated[
        bool,
        Parameter(
            negative="",
            help="Leave out what cannot be imported, and what follows it in its batch, and import the rest.",
        ),
    ] = False,
    profile: ProfileOption = "laws",
    form: FormatOption = "table",
) -> int:
    """
    Import logs into a store.

    Each record has to be the next of its batch, or one that the store has already: that is harmless, so after a crash
    or an interrupt import the same again. Records are written a thousand at a time, durably.

    A store holds nothing that breaks a rule. At the first record that does, or that cannot be read, it stops: what
    stands before that is imported, nothing else is, and it is a finding.
    """
    from lifecycle.cli import stores as commands

    return commands.import_logs(_names(logs), to, PROFILES[profile], form, skip=skip)


@_command(
    "lifecycle store export sqlite:///batches.db > batches.jsonl",
    "lifecycle store export sqlite:///batches.db --batch msgbatch_01",
    "lifecycle store export postgresql://me@db/batches --to batches.jsonl",
    to=stores,
    name="export",
)
def store_export(
    url: Url,
    /,
    *,
    batch: BatchId = None,
    to: Annotated[
        Path | None,
        Parameter(name="--to", converter=_word, help="A file that is not there yet; by default it is standard output."),
    ] = None,
) -> int:
    """
    Write what a store holds as a log, in the order in which it was stored.

    Lines are as a log has them, so that importing them gives the same events. What was forgotten is left out.
    """
    from lifecycle.cli import stores as commands

    return commands.export(url, batch, None if to is None else os.fspath(to))


@_command(
    "lifecycle store verify sqlite:///batches.db",
    "lifecycle store verify postgresql://me@db/batches --format jsonl",
    to=stores,
    name="verify",
)
def store_verify(url: Url, /, *, form: FormatOption = "table") -> int:
    """
    Find what in a store is not as it was written: changed, lost or moved.

    It reads all of it, and computes its chains of hashes and its batches again. Exit status 1 if anything is wrong; 3
    if the store cannot even be opened.
    """
    from lifecycle.cli import stores as commands

    return commands.verify(url, form)


@_command(
    "lifecycle store stats sqlite:///batches.db",
    "lifecycle store stats sqlite:///batches.db --format json",
    to=stores,
    name="stats",
)
def store_stats(url: Url, /, *, form: FormatOption = "table") -> int:
    """Say how much is in a store: batches by phase, events, positions, its size and schema."""
    from lifecycle.cli import stores as commands

    return commands.stats(url, form)


@_command(
    "lifecycle store show sqlite:///batches.db",
    "lifecycle store show sqlite:///batches.db --format jsonl",
    "lifecycle store show sqlite:///batches.db msgbatch_01 --until 3",
    to=stores,
    name="show",
)
def store_show(
    url: Url,
    batch_id: Annotated[
        str | None, Parameter(name="ID", converter=_word, help="The batch; by default all are listed.")
    ] = None,
    /,
    *,
    until: Until = None,
    profile: ProfileOption = "laws",
    form: FormatOption = "table",
) -> int:
    """
    Show where every batch of a store stands, sorted by id; or one batch's life, as `lifecycle show` does.

    With --format json or jsonl a single batch is shown by where it stands, too.
    """
    from lifecycle.cli import logs
    from lifecycle.cli import stores as commands

    return commands.show(url, batch_id, logs.parse_until(until), PROFILES[profile], form)


@_command(
    'eval "$(lifecycle completion bash)"',
    'lifecycle completion zsh > "${fpath[1]}/_lifecycle"',
    "lifecycle completion fish > ~/.config/fish/completions/lifecycle.fish",
)
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], Parameter(name="SHELL", help="Your shell.")], /
) -> int:
    """Write the script that lets a shell complete commands, options and files."""
    with until_closed():
        write(app.generate_completion(shell=shell))
    return CLEAN


def _name(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)


def _names(paths: Sequence[Path]) -> list[str]:
    return [os.fspath(path) for path in paths]


def run(arguments: Sequence[str]) -> int:
    """
    Run one command.

    Args:
        arguments: What stands after the name of the program.

    Returns:
        The exit status. Whatever went wrong has been said on stderr, in a sentence.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is no reason to stop
    # What is here now stays, so the collector need not look at it again; and a log that is read makes few cycles.
    # Refused lines make some, so it cannot be switched off.
    gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        talk("interrupted")
        return INTERRUPTED
    except (LogError, EngineError) as error:
        talk(str(error))
        return FAILED
    except StoreError as error:
        talk(" ".join(str(error).split()))  # a server says several lines
        return FAILED
    except BrokenPipeError:
        abandon(sys.stdout)
        return CLEAN
    except OSError as error:  # what reading raises has become a LogError
        abandon(sys.stdout)
        talk(f"standard output cannot be written: {error.strerror or error}")
        return FAILED
    except MemoryError:
        talk("out of memory")
        return FAILED
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        try:  # what was written before something went wrong, as far as anybody still reads it
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            abandon(sys.stdout)


def _run(arguments: Sequence[str]) -> int:
    tokens = [_HYPHEN if word == "-" else word for word in arguments]
    try:
        status = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError) as error:
        if isinstance(error, CycloptsError):
            error.verbose = False
        talk(str(error).replace(_HYPHEN, "-"))
        command = next((word for word in arguments if word in _COMMANDS), None)
        talk(f"see: lifecycle {command} --help" if command else "see: lifecycle --help")
        return USAGE
    except SystemExit:  # rich, when the reader of its pipe has gone
        return CLEAN
    if sys.stdout is not None:
        sys.stdout.flush()
    return CLEAN if status is None else int(status)


_COMMANDS = frozenset({"replay", "audit", "convert", "check", "observe", "diff", "outcome", "reconcile"}) | frozenset(
    {"show", "track", "explain", "machine", "schema", "generate", "conform", "store", "completion"}
)
