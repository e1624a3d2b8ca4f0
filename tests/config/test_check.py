"""What a probe's time is: the upstream's, not that of loading an SDK."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chatlab.backend import Backend, CallContext, ChatRequest, Options, Probe
from chatlab.config.check import check
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry
from chatlab.messages import Finish, StreamEvent


class Heavy(Backend):
    """One whose SDK takes long to load."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        time.sleep(0.5)

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield Finish("stop")

    async def probe(self, ctx: CallContext) -> Probe:
        return Probe(reachable=True)


class Broken(Heavy):
    """One that cannot be made."""

    def __init__(self, options: Any) -> None:
        raise RuntimeError("no")


def entry(cls: type[Backend]) -> Entry:
    return Entry(cls.__name__, BackendConfig(kind="sample", options=Options()), cls)


@pytest.mark.parametrize("count", [1, 3])
async def test_loading_an_sdk_is_none_of_the_probes_time(count: int) -> None:
    reports = await check([entry(Heavy) for _ in range(count)], probe=True, longest=0.4)
    assert [report.state for report in reports] == ["ready"] * count
    assert all(report.seconds is not None and report.seconds < 0.4 for report in reports)


async def test_a_backend_that_cannot_be_made_is_a_finding_of_its_own() -> None:
    broken, heavy = await check([entry(Broken), entry(Heavy)], probe=True, longest=0.4)
    assert (broken.state, broken.reason) == ("failed", "unexpected RuntimeError in the backend")
    assert heavy.state == "ready"
