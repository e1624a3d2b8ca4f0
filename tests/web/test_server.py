"""The server of a configuration."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import chatlab
from chatlab.web.server import _log_without_secrets, create_app
from tests.web.pages import Served


def test_storage_and_backends_are_ready_before_anybody_asks(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    other = "{kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}"
    file.write_text(f"backends: {{a: {{kind: echo}}, b: {other}}}")
    served = Served(file)
    try:
        deadline = time.monotonic() + 60
        while not all(served.lab.backends[name].made for name in "ab"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert (tmp_path / ".chatlab" / "chatlab.db").exists()
    finally:
        served.stop()


@pytest.mark.parametrize("alone", [True, False])
async def test_a_server_of_its_own_does_not_look_for_garbage_in_what_it_holds_for_good(
    tmp_path: Path, alone: bool
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {a: {kind: echo}}")
    lab = chatlab.load(file)
    app = create_app(lab, alone=alone)
    gc.unfreeze()
    before = gc.get_threshold()
    try:
        async with app.router.lifespan_context(app):
            while not lab.backends["a"].made:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            assert (gc.get_freeze_count() > 100_000) == alone
            assert (gc.get_threshold()[0] > 5_000) == alone, "what is new is looked through often"
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_addresses_of_upstreams_are_not_in_the_log(
    library: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(library.__name__)
    before = logger.level
    try:
        _log_without_secrets()
        with caplog.at_level(logging.INFO):
            transport = library.MockTransport(lambda _: library.Response(200))
            async with library.AsyncClient(transport=transport) as client:
                await client.post("http://inner-host.test/v1")
    finally:
        logger.setLevel(before)
    assert "inner-host" not in caplog.text


def test_a_log_for_programs_has_nothing_but_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {echo: {kind: echo}}\nserver: {log: json, drain_seconds: 0}\nstorage: none\n")
    command = [sys.executable, "-m", "chatlab", "serve", str(file), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = json.loads(server.stderr.readline())
            port = int(address["message"].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(b"this is no HTTP\r\n\r\n")
                client.recv(100)
        finally:
            server.send_signal(signal.SIGTERM)
        lines = [address, *map(json.loads, server.stderr)]
    assert (address["level"], address["logger"]) == ("INFO", "chatlab.web.server")
    assert [line["message"] for line in lines if line["logger"] == "uvicorn.error"] == [
        "Invalid HTTP request received."
    ]
