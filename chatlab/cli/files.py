"""`chatlab schema` and `chatlab init`: the commands that write files to work with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from chatlab.installing import DISTRIBUTION, how_to_install

_SCHEMA_NAME = "chatlab.schema.json"
STARTER = Path(__file__).with_name("starter.yaml")


def _starter() -> str:
    """Return the starter file, with what to do here where an extra is needed."""
    text = STARTER.read_text("utf-8")
    return re.sub(rf"pip install '{DISTRIBUTION}\[(\w+)\]'", lambda found: how_to_install(found[1]), text)


def _schema_text() -> str:
    from chatlab.config.load import json_schema

    return json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"


def write_schema(output: Path | None) -> None:
    """Runs `chatlab schema`."""
    text = _schema_text()
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
        click.echo(f"wrote {output}", err=True)


def write_starter(path: Path, *, force: bool) -> None:
    """Runs `chatlab init`. Raises UsageError instead of replacing a file without `force`."""
    if path == Path("-"):
        click.echo(_starter(), nl=False)
        return
    if path.is_dir():
        path /= "chatlab.yaml"
    schema = path.with_name(_SCHEMA_NAME)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as out:
            out.write(_starter())
    except FileExistsError as exc:
        raise click.UsageError(f"{path} is there already: --force replaces it") from exc
    schema.write_text(_schema_text(), "utf-8")  # generated, so an older one is only out of date
    click.echo(f"wrote {path} and {schema}", err=True)
    click.echo(f"next: chatlab check {path}, then chatlab serve {path}", err=True)
