"""Imports a file in a process of its own, so that nobody else waits for it, within limits.

Reading 60 MB of small JSON objects holds Python for seconds, in whichever thread it happens.

    python -m chatlab.web.conversations.import_process < task.json

The task and what is told are JSON; the storage's secrets are named in it, and read there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from chatlab.config.limits import ImportLimits
from chatlab.config.models import Storage
from chatlab.conversations.storage import open_storage
from chatlab.errors import StoreError
from chatlab.own_process import let_others_go_first, limit_memory, own_process
from chatlab.secret import scrub
from chatlab.transfer import ImportProblem, ImportResult, import_file

_MODULE = "chatlab.web.conversations.import_process"
_TOLD_EVERY = 0.2  # seconds
_LONGEST_LINE = 10_000_000  # bytes: more than all problems of a file take


async def import_apart(
    wanted: Storage,
    owner: str,
    file: Path,
    name: str,
    unused_since: datetime | None,
    *,
    limits: ImportLimits,
    progress: Callable[[ImportResult], object],
) -> ImportResult:
    """Return what an import came to that runs in another process. It is ended where this is cancelled, and
    where it reaches a limit: what was taken in until then stays, and a problem says which limit it was.

    progress: told what it came to so far. Raise StoreError where the store fails there.
    """
    task = {
        "storage": wanted.model_dump(mode="json"),
        "owner": owner,
        "file": str(file),
        "name": name,
        "unused_since": None if unused_since is None else unused_since.isoformat(),
        "memory_mb": limits.memory_mb,
    }
    result = ImportResult()
    async with own_process("-m", _MODULE, longest_line=_LONGEST_LINE) as process:
        try:
            async with asyncio.timeout(limits.seconds):
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(task).encode() + b"\n")
                process.stdin.close()
                async for line in process.stdout:
                    result = _told(line)
                    progress(result)
                await process.wait()
        except TimeoutError:
            most = f"{limits.seconds:g} s (limits.imports.seconds)"
            return _ended_early(result, name, f"took more than {most}, and its import was ended")
    if process.returncode:
        raise StoreError(f"an import ended with {process.returncode} before it was done")
    return result


def _told(line: bytes) -> ImportResult:
    said = json.loads(line)
    if "error" in said:
        raise StoreError(said["error"])
    return ImportResult(**{**said, "problems": [ImportProblem(**one) for one in said["problems"]]})


def _ended_early(so_far: ImportResult, name: str, sentence: str) -> ImportResult:
    return replace(
        so_far, problems=[*so_far.problems, ImportProblem(name, f"{sentence}: import less at once")]
    )


async def _imported(task: Mapping[str, Any], progress: Callable[[ImportResult], object]) -> ImportResult:
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
                progress=progress,
            )


class _Progress:
    """Tells whoever began the process how far it is: not of each problem, and not all the time."""

    def __init__(self) -> None:
        self.newest = ImportResult()
        self._at = monotonic()

    def __call__(self, result: ImportResult) -> None:
        self.newest = result
        if monotonic() - self._at > _TOLD_EVERY:
            self._at = monotonic()
            _say(asdict(replace(result, problems=[])))


def _say(said: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _main() -> None:
    let_others_go_first()
    task = json.loads(sys.stdin.readline())
    limit_memory(task["memory_mb"])
    progress = _Progress()
    try:
        _say(asdict(asyncio.run(_imported(task, progress))))
    except StoreError as exc:
        _say({"error": scrub(str(exc))})
    except MemoryError:
        most = f"{task['memory_mb']:g} MB of memory (limits.imports.memory_mb)"
        sentence = f"takes more than {most} to be read, and its import was ended"
        _say(asdict(_ended_early(progress.newest, task["name"], sentence)))


if __name__ == "__main__":
    _main()
