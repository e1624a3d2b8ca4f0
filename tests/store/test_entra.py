"""PostgreSQL and Blob storage, signed in to with tokens of Entra ID, each good when it is used."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from sqlalchemy import URL, make_url
from starlette.requests import Request
from starlette.responses import Response

from chatlab.azure_identity import AzureIdentity
from chatlab.errors import StoreError
from chatlab.store import Unreachable
from chatlab.store._database import Database
from chatlab.store.files import Files
from tests.servers.front import Front
from tests.servers.machine import Machine
from tests.store.databases import Postgres

IDENTITY = AzureIdentity(type="managed_identity")
WHO = "SELECT session_user, pg_backend_pid()"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with Machine(monkeypatch) as service:
        yield service


@pytest.fixture
def signs_in(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """A database whose user has to give a password, which is the first token of the machine at first."""
    rules = Path(postgres.server.pgdata) / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all chatlab-identity scram-sha-256\n{before}")
    postgres.execute(
        "SELECT pg_reload_conf()", "CREATE ROLE \"chatlab-identity\" LOGIN PASSWORD 'of-the-machine-1'"
    )
    monkeypatch.setenv("PGPASSWORD", "ambient")
    yield make_url(postgres.url("postgres")).set(
        drivername="postgresql+psycopg", username="chatlab-identity", password=None
    )
    rules.write_text(before)
    postgres.execute("SELECT pg_reload_conf()", 'DROP ROLE "chatlab-identity"')


async def test_each_new_connection_signs_in_with_a_token_that_is_good_then(
    postgres: Postgres, signs_in: URL, machine: Machine
) -> None:
    database = Database(signs_in, IDENTITY)

    async def who() -> tuple[str, int]:
        row = await database.read(lambda connection: connection.exec_driver_sql(WHO).one())
        return row[0], row[1]

    try:
        machine.lasts = 200  # to be asked for anew by the next connection
        name, backend = await who()
        assert name == "chatlab-identity" and len(machine.asked) == 1
        assert machine.asked[0]["resource"] == "https://ossrdbms-aad.database.windows.net"
        assert await who() == (name, backend)  # the same connection: nothing was asked
        postgres.execute(
            "ALTER ROLE \"chatlab-identity\" PASSWORD 'of-the-machine-2'",
            f"SELECT pg_terminate_backend({backend})",
        )
        name, other = await who()
        assert name == "chatlab-identity" and other != backend and len(machine.asked) == 2
        assert "of-the-machine" not in repr(vars(database)) + repr(database._engine)
        postgres.execute(
            "ALTER ROLE \"chatlab-identity\" PASSWORD 'another'", f"SELECT pg_terminate_backend({other})"
        )
        with pytest.raises(StoreError) as refused:
            await who()
        assert "of-the-machine" not in str(refused.value) and "authentication failed" in str(refused.value)
    finally:
        await database.aclose()


async def test_a_token_service_that_gives_none_is_said_as_a_database_that_cannot_be_reached(
    signs_in: URL, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fail(403, {"error": "forbidden"}, times=20)
    database = Database(signs_in, IDENTITY)
    with pytest.raises(Unreachable, match="nobody can sign in to the database: managed_identity"):
        await database.read(lambda connection: connection.exec_driver_sql(WHO).one())
    await database.aclose()


@pytest.fixture
def blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Blob storage that takes the machine's tokens alone; as much of it as one file needs."""
    certificates = trustme.CA()
    certificates.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = certificates.issue_cert("127.0.0.1")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    stored: dict[str, bytes] = {}
    front = Front()
    front._server.config.ssl_certfile = front._server.config.ssl_keyfile = tmp_path / "own.pem"
    front.url = front.url.replace("http://", "https://")

    def refused(request: Request) -> bool:
        return not request.headers.get("authorization", "").startswith("Bearer of-the-machine-")

    async def put(request: Request) -> Response:
        if refused(request):
            return Response(status_code=403)
        if request.query_params.get("comp") == "block":
            stored[f"{request.url.path}?{request.query_params['blockid']}"] = await request.body()
        else:
            blocks = [key for key in stored if key.startswith(f"{request.url.path}?")]
            stored[request.url.path] = b"".join(stored[key] for key in blocks) or await request.body()
        return Response(status_code=201, headers={"etag": '"1"', "last-modified": _AT})

    async def get(request: Request) -> Response:
        if refused(request):
            return Response(status_code=403)
        content = stored.get(request.url.path)
        if content is None:
            return Response(status_code=404, headers={"x-ms-error-code": "BlobNotFound"})
        whole = {"content-range": f"bytes 0-{len(content) - 1}/{len(content)}", "x-ms-blob-type": "BlockBlob"}
        headers = {**whole, "etag": '"1"', "last-modified": _AT}
        return Response(content, 206 if request.method == "GET" else 200, headers)

    for method, handler in (("PUT", put), ("GET", get), ("HEAD", get)):
        for path in (_BLOB, "/container"):
            front.on(method, path, handler)
    # aiohttp reads SSL_CERT_FILE once, when it is imported, which another test may have done.
    trusted = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusted)
    with front:
        yield front


_AT = "Sun, 29 Nov 2026 12:00:00 GMT"
_SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello"
_BLOB = f"/container/files/{_SHA256[:2]}/{_SHA256}"


async def test_attachments_are_stored_in_blob_storage_with_the_machines_token(
    blob: Front, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=ambient")
    monkeypatch.setenv("AZURE_STORAGE_CLIENT_SECRET", "ambient")
    files = Files("abfs://container/files", tmp_path, identity=IDENTITY)
    files._fs.account_host = blob.url.removeprefix("https://")  # which is account.blob.core.windows.net
    files._fs.do_connect()
    try:
        assert await files.put(b"hello") == _SHA256
        other = Files("abfs://container/files", tmp_path, identity=IDENTITY)
        other._fs.account_host = files._fs.account_host
        other._fs.do_connect()
        assert (await other.path(_SHA256)).read_bytes() == b"hello"
        other.close()
    finally:
        files.close()
    assert {one["resource"] for one in machine.asked} == {"https://storage.azure.com"}
    assert blob.requests and all("sig=" not in one.query for one in blob.requests)
    assert all(one.headers["authorization"].startswith("Bearer of-the-machine-") for one in blob.requests)


@pytest.mark.parametrize("name", ["AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY"])
def test_a_key_that_the_library_would_prefer_is_not_passed_over_in_silence(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "AccountName=x;AccountKey=ambient")
    with pytest.raises(StoreError, match=f"unset {name}: storage.auth says who signs in there") as raised:
        Files("abfs://container/files", tmp_path, identity=IDENTITY)
    assert "ambient" not in str(raised.value)
