"""The arrows in print are the arrows of the chart."""

import re
import subprocess
import sys

import lifecycle as lc
from lifecycle.cli import machine_view
from lifecycle.cli.output import NOTHING
from tests.cli.running import PATIENT


def test_the_table_has_each_arrow_once_and_no_other() -> None:
    head, rule, *rows = machine_view.arrow_table().splitlines()
    assert re.split(r" *\| *", head)[1:-1] == ["before", "event", "after"]
    assert set(rule) == set("|- ")
    arrows = [tuple(re.split(r" *\| *", row)[1:-1]) for row in rows]
    assert arrows == [(before or NOTHING, tag, after) for (before, tag), after in lc.TRANSITIONS.items()]
    assert len({len(line) for line in machine_view.arrow_table().splitlines()}) == 1


def test_the_diagram_has_each_arrow_once_and_no_other() -> None:
    head, *lines = machine_view.mermaid().splitlines()
    assert head == "stateDiagram-v2"
    arrows = [re.fullmatch(r"    (\S+) --> (\S+)(?:: (\w+))?", line) for line in lines]
    found = [arrow.groups() for arrow in arrows if arrow]
    assert found[:-1] == [(before or "[*]", after, tag) for (before, tag), after in lc.TRANSITIONS.items()]
    assert found[-1] == ("deleted", "[*]", None)


def test_they_can_be_had_without_the_libraries_of_the_command_line() -> None:
    code = (
        "import sys; sys.modules['rich'] = sys.modules['cyclopts'] = None;"
        "from lifecycle.cli.machine_view import arrow_table, mermaid; arrow_table(); mermaid()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENT)
