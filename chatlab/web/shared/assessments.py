"""Tells MLflow of thumbs and votes: as assessments of the traces that backends named.

Nobody waits for it. What an MLflow server that is away was to be told is tried again for a while, the newest
of each person and trace alone, and then forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import httpx2

from chatlab.config.telemetry import header_texts
from chatlab.errors import ChatlabError
from chatlab.http import async_client
from chatlab.lab import Lab
from chatlab.messages import Trace
from chatlab.secret import scrub

log = logging.getLogger(__name__)

_MOST = 1_000  # assessments that wait, of which the oldest is forgotten first
_PAUSES = (2.0, 10.0, 60.0)  # seconds between two tries
_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Subject:
    """A trace that is assessed, under which name, and by whom: the newest assessment of one counts."""

    trace: str
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """An assessment. value: None takes an earlier one back."""

    value: bool | str | None
    rationale: str = ""


class Assessments:
    """Tells one MLflow server. Of the event loop."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._base = f"{url.rstrip('/')}/api/3.0/mlflow/traces"
        self._headers = dict(headers)
        self._client: httpx2.AsyncClient | None = None
        self._waiting: dict[Subject, Assessment] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_away = False

    @property
    def idle(self) -> bool:
        """Return whether all was told, or given up."""
        return self._task is None or self._task.done()

    @property
    def waiting(self) -> int:
        """Return how many are to be told yet."""
        return len(self._waiting)

    def note(self, traces: Sequence[Trace], name: str, owner: str, said: Assessment) -> None:
        """Have it told what somebody said of the answer that these traces are of."""
        source = sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        for trace in traces:
            subject = Subject(trace.id, name, source)
            self._waiting.pop(subject, None)
            self._waiting[subject] = said
        while len(self._waiting) > _MOST:
            del self._waiting[next(iter(self._waiting))]
        if self._waiting and self.idle:
            self._task = asyncio.create_task(self._tell_all(), name="assessments")

    async def _tell_all(self) -> None:
        while self._waiting:
            subject, said = next(iter(self._waiting.items()))
            pauses = iter(() if self._is_away else _PAUSES)
            while True:
                said = self._waiting.get(subject, said)
                try:
                    await self._tell(subject, said)
                    self._is_away = False
                    break
                except (httpx2.HTTPError, ChatlabError, ValueError, KeyError, TypeError) as exc:
                    refused = isinstance(exc, httpx2.HTTPStatusError) and exc.response.status_code < 500
                    pause = None if refused else next(pauses, None)
                    if pause is None:
                        self._failed(exc, refused)
                        break
                await asyncio.sleep(pause)
            if self._waiting.get(subject) is said:
                del self._waiting[subject]

    def _failed(self, exc: Exception, refused: bool) -> None:
        if not self._is_away:
            log.warning("MLflow is not told of an assessment: %s", scrub(str(exc).partition("\n")[0]))
        self._is_away = self._is_away or not refused

    async def _tell(self, subject: Subject, said: Assessment) -> None:
        if self._client is None:
            self._client = async_client(timeout=_TIMEOUT, headers=self._headers)
        trace = f"{self._base}/{quote(subject.trace, safe='')}"
        found = await self._asked("GET", trace)
        given = [one["assessment_id"] for one in _assessments(found) if _is_of(one, subject)]
        address = f"{trace}/assessments"
        if said.value is None:
            for one in given:
                await self._asked("DELETE", f"{address}/{quote(one, safe='')}")
            return
        assessment = {
            "assessment_name": subject.name,
            "trace_id": subject.trace,
            "source": {"source_type": "HUMAN", "source_id": subject.source},
            "feedback": {"value": said.value},
            "rationale": said.rationale,
        }
        if given:
            change = {"assessment": assessment, "update_mask": "feedback,rationale"}
            await self._asked("PATCH", f"{address}/{quote(given[-1], safe='')}", change)
        else:
            await self._asked("POST", address, {"assessment": assessment})

    async def _asked(self, method: str, address: str, body: Any = None) -> Any:
        assert self._client is not None
        reply = await self._client.request(method, address, json=body)
        reply.raise_for_status()
        return reply.json()

    async def aclose(self) -> None:
        """End the connections. What could not be told yet is forgotten."""
        if self._task is not None:
            if self._client is not None and self._waiting:
                await asyncio.wait([self._task], timeout=1)
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._client is not None:
            await self._client.aclose()


def _assessments(found: Any) -> Sequence[Mapping[str, Any]]:
    return found["trace"]["trace_info"].get("assessments", [])  # type: ignore[no-any-return]


def _is_of(assessment: Mapping[str, Any], subject: Subject) -> bool:
    source = assessment.get("source", {})
    valid = assessment.get("valid", True)
    return (
        valid
        and assessment.get("assessment_name") == subject.name
        and source.get("source_id") == subject.source
    )


_assessments_of: WeakKeyDictionary[Lab, Assessments] = WeakKeyDictionary()


def assessments_of(lab: Lab) -> Assessments | None:
    """Return who is told what people say of the answers of a lab's pages; None where nobody is."""
    telemetry = lab.config.telemetry if lab.config is not None else None
    if telemetry is None or telemetry.assessments is None:
        return None
    if lab not in _assessments_of:
        wanted = telemetry.assessments
        headers = header_texts(wanted.headers, "telemetry.assessments.headers")
        _assessments_of[lab] = made = Assessments(wanted.mlflow, headers)
        lab.at_close.insert(0, made.aclose)
    return _assessments_of[lab]
