"""Three servers on one PostgreSQL behind a balancer: one killed, one drained, one added, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.replicas import Servers, prove
from tests.store.databases import Postgres

# People who chat, and who compare: twenty and three in CI, and fewer where somebody waits for it.
CHATS, SESSIONS = (20, 3) if os.environ.get("CI") else (8, 2)


@pytest.mark.soak
@pytest.mark.timeout(180)
async def test_nobody_loses_a_message_while_servers_come_and_go(
    postgres_of_this_version: Postgres, tmp_path: Path
) -> None:
    database = postgres_of_this_version.new()
    servers = Servers(tmp_path, database)
    try:
        proof = await prove(servers, database, chats=CHATS, sessions=SESSIONS, step=2)
    finally:
        servers.close()
    said = f"{proof}\n{servers.log.read_text()[-4000:]}"
    assert proof.lost == [] and proof.wrong == [] and proof.running == 0, said
    assert proof.signed_out == 0, "nobody signs in again"
    assert proof.gaps and proof.interrupted and proof.whole, said  # or nothing was put to the test
    postgres_of_this_version.drop(database)
