"""What every test gets: a network that ends at loopback, an environment without keys, real servers."""

from __future__ import annotations

import ast
import gc
import ipaddress
import os
import re
import shutil
import signal
import ssl
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

import httpcore2
import pytest

# Before anything is imported that reads it: a developer's own keys and settings never reach a test.
_VENDORS = re.compile(
    r"^(OPENAI|AZURE|ANTHROPIC|DATABRICKS|HF|HUGGING_?FACE|LANGCHAIN|LANGSMITH|LANGGRAPH|MLFLOW|GOOGLE|GEMINI|MISTRAL"
    r"|COHERE|CO|GROQ|TOGETHER|AWS|OLLAMA|CHATLAB|GRADIO|SPACE|SYSTEM|OTEL)(_|$)|_API_KEY$|_PROXY$",
    re.I,
)
for _name in [name for name in os.environ if _VENDORS.search(name) and not name.startswith("CHATLAB_TEST")]:
    del os.environ[_name]
_HOME = Path(tempfile.mkdtemp(prefix="chatlab-tests-"))
os.environ |= {
    "GRADIO_ANALYTICS_ENABLED": "False",
    # Not HF_HUB_OFFLINE: it refuses loopback too. The guard below keeps the hub's client off the network.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HOME": str(_HOME / "huggingface"),
    # Gradio names an upload by its content: where all processes share a folder, one takes away another's.
    "GRADIO_TEMP_DIR": str(_HOME / "gradio"),
    "DATABRICKS_CONFIG_FILE": str(_HOME / "databrickscfg"),
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    # MLflow asks GitHub for the prices of models, in threads that outlive a test.
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_PROXY": "*",
}

# Images of Docker set it. Each worker and each command that a test starts would then compile all anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what it puts into the background, and the commands that tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_local = True
_refused: list[str] = []


class NetworkRefused(RuntimeError):
    """A test wanted to leave this machine. Not an OSError: a backend would take that for an outage."""


def _guard(event: str, args: tuple[Any, ...]) -> None:
    if not _local:
        return
    if event == "socket.connect" or event == "socket.sendto":
        address = args[1]
        target = address[0] if isinstance(address, tuple) else None  # anything else is a unix socket
    elif event == "socket.getaddrinfo":
        target = args[0]
    else:
        return
    if isinstance(target, bytes):
        target = target.decode("ascii", "replace")
    if target is None or _loopback(str(target)):
        return
    _refused.append(f"{event} {target}")
    raise NetworkRefused(f"tests reach loopback only, not {target}: mark the test with `network` if it must")


def _loopback(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


_read_authorities = httpcore2.default_ssl_context


def _authorities(*, _trust_env: bool = True) -> ssl.SSLContext:
    """Those that this machine trusts, read once: it takes 20 ms, and tests make thousands of clients."""
    if _trust_env and (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        return _read_authorities(_trust_env=True)
    return _own_authorities()


@cache
def _own_authorities() -> ssl.SSLContext:
    return _read_authorities(_trust_env=False)


httpcore2.default_ssl_context = _authorities

_parse, _parsing = ast.parse, threading.RLock()


@wraps(_parse)
def _parse_alone(*args: Any, **kwargs: Any) -> Any:
    """Parse while no garbage is looked for. Before 3.11.8 and 3.12.2 Python fails where a tree is made in the
    middle of another one, as an object's end may have it: pytest's warning of an open socket has a traceback.
    """
    with _parsing:
        enabled = gc.isenabled()
        gc.disable()
        try:
            return _parse(*args, **kwargs)
        finally:
            if enabled:
                gc.enable()


if sys.version_info < (3, 12, 2):
    ast.parse = _parse_alone

# Databases for whatever is stored, on SQLite and PostgreSQL alike.
pytest_plugins = ["tests.store.databases"]

# An audit hook sees every connection made through Python's sockets, whichever library makes it.
sys.addaudithook(_guard)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "network: may reach beyond loopback")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In CI print a failure when it happens: a run that is ended from outside prints nothing at its end."""
    if report.failed and os.environ.get("CI") and "PYTEST_XDIST_WORKER" not in os.environ:
        told = f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext}"
        print(told, file=sys.stderr, flush=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Import the tests without looking for garbage meanwhile, which takes longer than the imports themselves.

    Each worker begins at another place, so that a module is compiled by one of them, and read by the others.
    """
    from chatlab.garbage import importing_for_good

    with importing_for_good():
        if worker := os.environ.get("PYTEST_XDIST_WORKER"):
            files = _test_files(session.config)
            begin = len(files) * int(worker[2:]) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
            for file in files[begin:] + files[:begin]:
                with suppress(Exception, pytest.skip.Exception):  # pytest says what is wrong, by its import
                    import_module(".".join(file.relative_to(session.config.rootpath).with_suffix("").parts))
        return (yield)


def _test_files(config: pytest.Config) -> list[Path]:
    """Return the files of tests among what was asked for."""
    asked = [config.invocation_params.dir / one.partition("::")[0] for one in config.args]
    return [file for path in asked for file in (sorted(path.rglob("test_*.py")) if path.is_dir() else [path])]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes a minute, and mix the modules: those of a page, which drive a browser, would else
    all come together at the end, and wait for each other longer than any of them may take."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        return item.get_closest_marker("soak") is None, crc32(item.nodeid.partition("::")[0].encode())

    items.sort(key=place)


def pytest_xdist_auto_num_workers() -> int:
    """Two more workers than cores: a good part of a test's time is waiting for servers, streams and pages."""
    return (
        len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)) + 2
    )


def pytest_unconfigure() -> None:
    """At the end of every process of the run, its workers included."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that tried to leave the machine, even where its code swallowed the refusal."""
    global _local
    _refused.clear()
    _local = request.node.get_closest_marker("network") is None
    yield
    _local = True
    assert not _refused, f"this test tried to reach the network: {', '.join(sorted(set(_refused)))}"


@pytest.fixture(autouse=True, scope="module")
def _own_secrets() -> Iterator[None]:
    """Has a module leave no known secrets behind: hundreds of them would be looked for in whatever is shown
    later, and one of them may be a word of another test."""
    from chatlab.known_secrets import known_secrets

    known = vars(known_secrets)
    before = {name: dict(value) if isinstance(value, dict) else value for name, value in known.items()}
    yield
    known.update(before)


@pytest.fixture(autouse=True, scope="module")
def _garbage_among_what_is_new() -> None:
    """Has it not looked for in what is imported, a third of a million objects, after a module that looked."""
    if not gc.get_freeze_count():
        gc.collect(1)  # of what is new; all that is there takes a second
        gc.freeze()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The real llama.cpp server with a model of a few megabytes; see `tests.servers.llama.LlamaServer`."""
    from tests.servers.llama import LlamaServer

    with LlamaServer(tmp_path_factory.mktemp("llama")) as server:
        yield server


@pytest.fixture
def front(llama: Any) -> Iterator[Any]:
    """A recording, failing, forwarding HTTP server in front of `llama`; see `tests.servers.front.Front`."""
    from tests.servers.front import Front

    with Front(llama.url) as server:
        yield server
