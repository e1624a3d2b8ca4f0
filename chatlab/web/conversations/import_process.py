"""Imports a file in a process of its own, so that nobody else waits for it.

Reading 60 MB of small JSON objects holds Python for seconds, in whichever thread it happens.

    python -m chatlab.web.conversations.import_process < task.json

The task and the result are JSON; the storage's secrets are named in it, and read there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from chatlab.config.models import Storage
from chatlab.conversations.storage import open_storage
from chatlab.errors import StoreError
from chatlab.paths import PACKAGE
from chatlab.secret import scrub
from chatlab.transfer import ImportProblem, ImportResult, import_file

_KINDNESS = 10  # the nice value: whoever chats goes first


async def import_apart(
    wanted: Storage, owner: str, file: Path, name: str, unused_since: datetime | None
) -> ImportResult:
    """Return what an import came to that runs in another process. It is ended where this is cancelled.

    Raise StoreError where the store fails there.
    """
    task = {
        "storage": wanted.model_dump(mode="json"),
        "owner": owner,
        "file": str(file),
        "name": name,
        "unused_since": None if unused_since is None else unused_since.isoformat(),
    }
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "chatlab.web.conversations.import_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    try:
        said, _ = await process.communicate(json.dumps(task).encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        result = json.loads(said)
    except ValueError as exc:
        raise StoreError(f"an import ended with {process.returncode} before it was done") from exc
    if "error" in result:
        raise StoreError(result["error"])
    return ImportResult(**{**result, "problems": [ImportProblem(**one) for one in result["problems"]]})


async def _imported(task: Mapping[str, Any]) -> ImportResult:
    since = task["unused_since"]
    async with open_storage(Storage.model_validate(task["storage"])) as storage:
        assert storage is not None
        with Path(task["file"]).open("rb") as file:  # noqa: ASYNC230 - this loop has nothing else to do
            return await import_file(
                storage.store,
                storage.files,
                task["owner"],
                file,
                task["name"],
                unused_since=None if since is None else datetime.fromisoformat(since),
            )


def _main() -> None:
    if hasattr(os, "nice"):
        os.nice(_KINDNESS)
    try:
        said = asdict(asyncio.run(_imported(json.load(sys.stdin))))
    except StoreError as exc:
        said = {"error": scrub(str(exc))}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    _main()
