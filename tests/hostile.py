"""A log whose every text wants to be more than text, for tests of what shows it to people."""

from datetime import timedelta
from pathlib import Path

import lifecycle as lc
from lifecycle import wire
from tests.lives import HOUR, T

ATTACK = "document.documentElement.id='owned'"
"""What must never run."""

IDS: dict[str, str] = {
    f"<script>{ATTACK}</script>": f"<script>{ATTACK}</script>",
    f'"><img src="http://127.0.0.1:9/x.png" onerror="{ATTACK}">': "",
    f"'><svg onload={ATTACK}>": "",
    "</style></title></svg></code><style>*{display:none}</style>": "",
    "]]><!--": "",
    "--><a href=javascript:alert(1)>&lt;&amp;": "",
    "\u202egpj.exe\u2066": "\\u202egpj.exe\\u2066",
    "nul\0bell\x07esc\x1b[31m": "nul\\x00bell\\x07esc\\x1b[31m",
    "\u200b\ufeff\u2028": "\\u200b\\ufeff\\u2028",
    "x" * 10_000: "x" * 100 + "… (10,000 characters)",
    "\U0001f600" * 200: "\U0001f600" * 100 + "… (200 characters)",
    "": "\xa0",
}
"""Ids of batches, and how they are shown; as they are where that is not said."""


def shown(batch_id: str) -> str:
    """How an id has to look on a page."""
    return IDS[batch_id] or batch_id


def write(folder: Path) -> Path:
    """A log with a batch of each id, which breaks laws and has a hostile URL; the name of the file is hostile, too."""
    path = folder / "<img src=x onerror=alert(1)> & \u202elog.jsonl"
    lines = []
    for number, batch_id in enumerate(IDS):
        begun = T + number * HOUR
        url = f"https://x/{batch_id}"
        events: list[lc.Event] = [
            lc.Created(batch_id, begun, begun + 24 * HOUR, 4),
            lc.Created("<b onclick=alert(1)>", begun, begun + 24 * HOUR, 4),
            lc.CountsUpdated(lc.RequestCounts(5)),
            lc.Ended(begun + HOUR, lc.RequestCounts(0, 1, 1, 1, 1), url),
            lc.Archived(begun + timedelta(days=30), f"{url}<i>"),
            lc.CancelInitiated(begun + HOUR),
        ]
        lines += [
            wire.encode_record(lc.Record(batch_id, version, event, None, begun + version * HOUR))
            for version, event in enumerate(events, 1)
        ]
    path.write_bytes(b"\n".join([*lines, b"<script>no record</script>", b'{"specversion":"<b>"}']) + b"\n")
    return path
