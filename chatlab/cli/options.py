"""Options and closing words that several commands share. Only click is imported here."""

from __future__ import annotations

from pathlib import Path

import click

from chatlab.cli.program import EXIT_CODES

WHERE = """\
TARGET is a configuration file or the address of a backend. An existing file, and any name that ends in
.yaml or .yml, is a configuration. KIND:REST, such as openai:gpt-5-mini or huggingface:org/model, is an
address and needs no configuration; "chatlab backends" lists the kinds. Anything else is the name of a
backend in the default configuration.
"""

DEFAULT = """\
The default configuration is $CHATLAB_CONFIG if that is set, else ./chatlab.yaml if it is there, else the one
that comes with chatlab, which needs no key.
"""

SEVERAL = """\
TARGETS are a configuration file, if wanted, and then backends: names in that configuration (or in the
default one) and addresses, such as openai:gpt-5-mini, which need no configuration.
"""

CODES = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


def file_or_stdout(ctx: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    """Return the file that an option names; None, which is standard output, for -."""
    return None if value == Path("-") else value


OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=file_or_stdout,
    metavar="FILE",
    help="Write it to a file instead; - is standard output.",
)
SYSTEM = click.option("-s", "--system", metavar="TEXT", help="System prompt, instead of the configured one.")
PARAMETERS = click.option(
    "-p",
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter, such as temperature=0.2; may be repeated.",
)
