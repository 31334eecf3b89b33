"""The command `schema`: the JSON Schemas of specs/schemas, as they stand there."""

import json

from lifecycle.cli.output import CLEAN, Table, UsageError, until_closed, write
from lifecycle.conformance import folder


def schema(name: str | None) -> int:
    """
    Write one schema, to the byte; or, without a name, list them.

    Raises:
        UsageError: There is no such schema.
    """
    texts = {
        file.name.removesuffix(".json"): file.read_text(encoding="utf-8")
        for file in sorted(folder("schemas").iterdir(), key=lambda file: file.name)
        if file.name.endswith(".json")
    }
    if name is not None and name not in texts:
        raise UsageError(f"no schema is called {name!r}. There are {', '.join(texts)}.")
    with until_closed():
        if name is not None:
            write(texts[name])
        else:
            table = Table("schema", "what it describes")
            for known, text in texts.items():
                table.add(known, json.loads(text)["title"])
            table.finish()
    return CLEAN
