"""Proxies and certificate authorities: what works, and what is named in a sentence before any call."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import trustme

from backends.databricks import DatabricksBackend
from backends.huggingface import HuggingFaceBackend
from backends.langchain import LangChainBackend
from backends.langchain.providers import OLD_CLIENT, OUR_CLIENT, PROVIDERS
from backends.openai import OpenAIBackend
from chatlab.backend import Backend, CallContext, ChatRequest, current_call
from chatlab.config.registry import backend_class
from chatlab.errors import BackendError, NotReady
from chatlab.http import async_client
from chatlab.http_transport import AiohttpTransport
from chatlab.messages import Message
from chatlab.upstream import network_problem
from chatlab.upstream.network import exempt_problem
from tests.folded import accumulate

TGI = (
    b'data:{"token": {"id": 1, "text": "Hello", "special": false}, "generated_text": "Hello", '
    b'"details": {"finish_reason": "eos_token", "generated_tokens": 1, "input_length": 3}}\n\n'
)
VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, None),
        ({"ALL_PROXY": "socks://127.0.0.1:9"}, "ALL_PROXY: httpx does not know socks://, write socks5://"),
        ({"all_proxy": "socks4://127.0.0.1:9"}, "all_proxy: httpx does not know socks4://, write socks5://"),
        (
            {"HTTPS_PROXY": "ftp://127.0.0.1:9"},
            "HTTPS_PROXY: httpx does not know ftp:// for a proxy, write http:// or socks5://",
        ),
        (
            {"HTTPS_PROXY": "http://me:secret@proxy:port"},
            "HTTPS_PROXY: this is not the URL of a proxy, such as http://proxy.example.org:3128",
        ),
        ({"HTTP_PROXY": "127.0.0.1:3128"}, None),
        (
            {"HTTP_PROXY": "http://127.0.0.1:3128\n"},
            "HTTP_PROXY: there is white space in it: write the URL of the proxy alone, or unset it",
        ),
        ({"ALL_PROXY": "socks://127.0.0.1:9", "NO_PROXY": "*"}, None),
        (
            {"SSL_CERT_FILE": "/nonexistent/ca.pem"},
            "SSL_CERT_FILE: there is no such file as /nonexistent/ca.pem",
        ),
        ({"SSL_CERT_FILE": "/etc"}, "SSL_CERT_FILE: /etc is no file: name it in SSL_CERT_DIR"),
        ({"SSL_CERT_DIR": __file__}, f"SSL_CERT_DIR: {__file__} is no folder: name it in SSL_CERT_FILE"),
        ({"SSL_CERT_DIR": "/nonexistent"}, "SSL_CERT_DIR: there is no such folder as /nonexistent"),
        ({"REQUESTS_CA_BUNDLE": "/nonexistent"}, "REQUESTS_CA_BUNDLE: there is no such file as /nonexistent"),
        (
            {"CURL_CA_BUNDLE": __file__},
            f"CURL_CA_BUNDLE: {__file__} holds no certificates that can be read, in PEM form",
        ),
    ],
)
def test_what_is_wrong_with_the_network_is_a_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert network_problem() == sentence
    if sentence is not None:
        with pytest.raises(NotReady) as caught:
            async_client()
        assert str(caught.value) == sentence


def test_a_socks_proxy_works_or_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    problem = network_problem()
    try:
        import socksio  # noqa: F401
    except ImportError:
        assert problem == "ALL_PROXY: a SOCKS proxy needs one more package: pip install 'httpx2[socks]'"
    else:
        assert problem is None


@pytest.mark.parametrize("kind", ["openai", "huggingface", "databricks", "langchain"])
def test_a_backend_that_cannot_call_anybody_is_not_ready(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    for name in ("DATABRICKS_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-0123456789abcdef")
    options = {
        "openai": {"model": "m"},
        "huggingface": {"endpoint": "http://127.0.0.1:1/v1"},
        "databricks": {"endpoint": "bot", "host": "http://127.0.0.1:1"},
        "langchain": {"model": "openai:gpt-5-mini"},
    }[kind]
    cls = backend_class(kind)
    reason = cls.not_ready(cls.Options.model_validate(options))
    assert reason == "SSL_CERT_FILE: there is no such file as /nonexistent/ca.pem"


@pytest.mark.parametrize("exempt", ["localhost,[::1]", "http://x:y", "localhost, ::1,10.0.0.0/8,.x.org:80,*"])
@pytest.mark.parametrize("provider", OLD_CLIENT)
def test_hosts_without_a_proxy_that_httpx_cannot_read_are_named(
    exempt: str, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", exempt)
    reason = exempt_problem()
    try:
        httpx.AsyncClient()
    except httpx.InvalidURL:
        assert reason is not None and reason.startswith("NO_PROXY: httpx cannot read ")
        options = {"model": f"{provider}:m", "api_key": {"env": "HOME"}}
        if find_spec(PROVIDERS[provider].module) is not None:
            assert LangChainBackend.not_ready(LangChainBackend.Options.model_validate(options)) == reason
    else:
        assert reason is None


def test_a_kind_that_calls_nobody_does_not_care(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    cls = backend_class("echo")
    assert cls.not_ready(cls.Options.model_validate({})) is None


# -- a private authority


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@asynccontextmanager
async def served(
    authority: trustme.CA | None, body: bytes = b"[]", *, status: str = "200 OK", **routes: bytes
) -> AsyncIterator[str]:
    """A server over TLS whose certificate nobody but this authority vouches for; None: without TLS.

    routes: other bodies, by the last word of the path; URL in one is the server's own.
    """
    context = None
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            found = routes.get(path.rpartition("/")[2].replace("-", "_"), body).replace(b"URL", url.encode())
            head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(found)}\r\n"
            writer.write(head.encode() + b"connection: close\r\n\r\n" + found)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # a client that does not trust the certificate leaves
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "localhost", 0, ssl=context)
    async with server:
        scheme = "http" if context is None else "https"
        url = f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}"
        yield url


async def answer_of(backend: Backend) -> str:
    request = ChatRequest((Message.of("user", "hi"),))
    try:
        found = [event async for event in backend.stream(request, CallContext())]
    finally:
        await backend.aclose()
    return accumulate(found).message.text


@pytest.mark.parametrize("variable", [None, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_one_setting_makes_every_call_trust_a_private_authority(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, str(bundle))
    given = {} if variable is not None else {"ca_bundle": bundle}
    models = b'{"data": [{"id": "m"}]}'
    async with served(authority, models) as url:
        made: list[Backend] = [
            OpenAIBackend(
                OpenAIBackend.Options.model_validate({"model": "m", "base_url": f"{url}/v1", **given})
            ),
            HuggingFaceBackend(HuggingFaceBackend.Options.model_validate({"endpoint": f"{url}/v1", **given})),
        ]
        for backend in made:
            assert (await backend.probe(CallContext())).reachable
            await backend.aclose()


@pytest.mark.filterwarnings("ignore")  # the packages' own
@pytest.mark.parametrize("variable", [None, "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("provider", OUR_CLIENT)
async def test_a_model_of_langchain_trusts_the_same_authority(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, provider: str, variable: str | None
) -> None:
    if find_spec(PROVIDERS[provider].module) is None:
        pytest.skip(f"{PROVIDERS[provider].package} is not installed")
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")
    trusted = {"ca_bundle": bundle}
    if variable is not None:
        monkeypatch.setenv(variable, str(bundle))
        trusted = {}
    async with served(authority, b'{"error": {"message": "tired"}}', status="503 Busy") as url:
        given = {"model": f"{provider}:m", "base_url": f"{url}/v1", **trusted}
        options = LangChainBackend.Options.model_validate(given)
        assert LangChainBackend.not_ready(options) is None
        with pytest.raises(BackendError, match="tired"):
            await answer_of(LangChainBackend(options))


@pytest.mark.parametrize("client", ["hub", "text-generation"])
async def test_text_generation_trusts_it_and_takes_the_proxy(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    if client == "text-generation":
        pytest.importorskip("text_generation")
    tgi = {"task": "text-generation", "template": "chatml", "client": client}
    made = HuggingFaceBackend.Options.model_validate
    async with served(authority, TGI) as url:
        trusting = made({**tgi, "endpoint": url, "ca_bundle": bundle})
        assert await answer_of(HuggingFaceBackend(trusting)) == "Hello"
        with pytest.raises(BackendError, match="no connection to the upstream"):
            await answer_of(HuggingFaceBackend(made({**tgi, "endpoint": url})))
    async with served(None, TGI) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        proxied = made({**tgi, "endpoint": "http://nobody.invalid"})
        assert await answer_of(HuggingFaceBackend(proxied)) == "Hello"


async def test_the_sign_in_of_databricks_trusts_it(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "s3cret-of-the-robot")
    chunk = b'{"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]}'
    sign_in = {
        "oauth_authorization_server": b'{"token_endpoint": "URL/oidc/v1/token"}',
        "token": b'{"access_token": "of-the-robot", "expires_in": 3600}',
    }
    given = {"endpoint": "bot", "task": "chat", "auth": {"type": "oauth-m2m"}}
    made = DatabricksBackend.Options.model_validate
    async with served(authority, b"data: " + chunk + b"\n\ndata: [DONE]\n\n", **sign_in) as url:
        trusting = made({**given, "host": url, "ca_bundle": bundle})
        assert await answer_of(DatabricksBackend(trusting)) == "Hello"
        with pytest.raises(BackendError, match=r"sign-in service could not be reached: .*verify failed"):
            await answer_of(DatabricksBackend(made({**given, "host": url})))


@pytest.mark.parametrize("given", [{"model": "cohere:m"}, {"object": "json:loads"}])
def test_langchain_says_whose_connections_are_not_its_own(bundle: Path, given: dict[str, str]) -> None:
    options = LangChainBackend.Options.model_validate({**given, "ca_bundle": bundle})
    assert str(LangChainBackend.not_ready(options)).startswith("set SSL_CERT_FILE instead of ca_bundle: ")


async def test_without_it_the_certificate_is_refused(authority: trustme.CA) -> None:
    async with served(authority) as url, async_client() as client:
        with pytest.raises(Exception, match="certificate verify failed"):
            await client.get(url)


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    options = OpenAIBackend.Options.model_validate({"model": "m", "ca_bundle": str(tmp_path / "gone.pem")})
    reason = OpenAIBackend.not_ready(options)
    assert f"ca_bundle: there is no such file as {tmp_path / 'gone.pem'}" in str(reason)


# -- what is replaced inside of httpcore


async def test_the_parts_of_httpcore_that_are_replaced_are_still_there(authority: trustme.CA) -> None:
    """`chatlab.http_proxies` replaces how httpcore's pool connects and reads: there is no public way.

    Where this fails, a release of httpx2 or httpcore2 changed what its sentence names.
    """
    import httpcore2
    import httpx2
    from httpcore2._backends.anyio import AnyIOBackend, AnyIOStream

    transport = httpx2.AsyncHTTPTransport()
    assert isinstance(transport._pool, httpcore2.AsyncConnectionPool), "an AsyncHTTPTransport has no `_pool`"
    assert hasattr(transport._pool, "_network_backend"), "a pool's `_network_backend` has another name"
    client = httpx2.AsyncClient()
    assert hasattr(client, "_transport"), "a client's `_transport` has another name"
    assert isinstance(client._mounts, dict), "a client's `_mounts` are no longer a dictionary of transports"
    await client.aclose()
    read = list(inspect.signature(AnyIOStream.read).parameters)
    assert read == ["self", "max_bytes", "timeout"], f"a stream is read with other arguments: {read}"
    assert "self._stream" in inspect.getsource(AnyIOStream.__init__), "a stream holds what it wraps elsewhere"
    for method in (AnyIOBackend.connect_tcp, AnyIOStream.start_tls):
        assert inspect.iscoroutinefunction(method), f"{method.__name__} is no longer a coroutine"

    told: list[str] = []
    current_call.set(CallContext(mark=told.append, arrived=lambda: told.append("arrived")))
    with authority.cert_pem.tempfile() as pem:
        async with served(authority) as url, async_client(Path(pem)) as client:
            assert isinstance(client._transport, AiohttpTransport)
            assert (await client.get(url)).json() == []
    assert told[0] == "connected" and "arrived" in told
    told.clear()
    async with served(None) as url, async_client(proxy=url) as client:
        assert (await client.get("http://localhost/")).json() == []
    assert told[0] == "connected", "httpcore's trace names the sending of headers otherwise"
    assert "arrived" in told, "a connection is read past the stream that replaces httpcore's"
