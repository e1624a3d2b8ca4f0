"""Who the databricks backend calls as: the way that was chosen, whatever the environment holds."""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
import os
import re
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from backends.databricks import DatabricksBackend
from backends.databricks.auth import (
    PatAuth,
    auth_error,
    blank_settings,
    config_arguments,
    sdk_config,
    sdk_error,
)
from chatlab.backend import CallContext, ChatRequest
from chatlab.config.registry import from_address
from chatlab.credentials import one_token
from chatlab.errors import (
    AuthenticationFailed,
    AuthRequired,
    BackendError,
    NotReady,
    Unavailable,
)
from chatlab.messages import Message, StreamEvent
from chatlab.secret import SecretRef
from tests.folded import accumulate
from tests.servers.databricks import Workspace, answers
from tests.servers.front import Front

HELLO = ChatRequest((Message.of("user", "hello"),))
REPLY = {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as server:
        server.serve("bot", "llm/v1/chat", answers(REPLY))
        yield server


def backend(workspace: Workspace, auth: dict[str, Any] | None = None, **options: Any) -> DatabricksBackend:
    values = {"endpoint": "bot", "host": workspace.url, "task": "chat", **options}
    return DatabricksBackend(
        DatabricksBackend.Options.model_validate(values if auth is None else {**values, "auth": auth})
    )


async def ask(made: DatabricksBackend, **context: Any) -> list[StreamEvent]:
    try:
        return [event async for event in made.stream(HELLO, CallContext(**context))]
    finally:
        await made.aclose()


def sent(workspace: Workspace) -> list[str]:
    """The credentials of the invocations so far."""
    return [seen.headers["authorization"] for seen in workspace.invocations("bot")]


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Front, set[str]]]:
    """An environment in which every setting of the SDK is taken, and a server that no token may reach."""
    from databricks.sdk.config import Config

    with Front() as elsewhere:
        config_file = tmp_path / "databrickscfg"
        config_file.write_text(
            f"[DEFAULT]\nhost = {elsewhere.url}\ntoken = dapi-of-default\n"
            f"[other]\nhost = {elsewhere.url}\ntoken = dapi-of-other\nscopes = other\n"
        )
        values = {
            "host": elsewhere.url,
            "discovery_url": f"{elsewhere.url}/discovery",
            "metadata_service_url": f"{elsewhere.url}/metadata",
            "config_file": str(config_file),
            "profile": "other",
            "auth_type": "azure-client-secret",
            "cloud": "AZURE",
            "rate_limit": "17",
            "debug_truncate_bytes": "100000",
            "debug_headers": "true",
        }
        for attribute in Config.attributes():
            for name in [attribute.env, *attribute.env_aliases] if attribute.env else []:
                monkeypatch.setenv(name, values.get(attribute.name, f"ambient-{attribute.name}"))
        ambient = {os.environ[a.env] for a in Config.attributes() if a.env}
        yield elsewhere, ambient
        assert elsewhere.requests == []


async def test_a_personal_access_token_is_sent_with_each_request(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = workspace.person("ada")
    monkeypatch.setenv("DATABRICKS_TOKEN", token)
    monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
    marks: list[str] = []
    events = await ask(
        DatabricksBackend(DatabricksBackend.Options(endpoint="bot", task="chat")), mark=marks.append
    )
    assert accumulate(events).message.text == "hi"
    assert sent(workspace) == [f"Bearer {token}"]
    assert workspace.paths() == ["/serving-endpoints/bot/invocations"]
    assert marks[0] == "credentials"


async def test_the_environment_cannot_replace_a_chosen_token(
    workspace: Workspace, hostile: tuple[Front, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = workspace.person("ada")
    monkeypatch.setenv("MY_TOKEN", token)
    made = backend(workspace, {"type": "pat", "token": {"env": "MY_TOKEN"}})
    await ask(made)
    assert sent(workspace) == [f"Bearer {token}"]


def test_the_environment_fills_nothing_that_the_sdk_was_not_given(
    workspace: Workspace, hostile: tuple[Front, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "dapi-chosen")
    given = config_arguments(workspace.url, PatAuth(token=SecretRef(env="MY_TOKEN")))
    config = sdk_config()(**{**blank_settings(sdk_config()), **given})
    taken = {a.name: getattr(config, a.name) for a in type(config).attributes() if a.env}
    assert not {str(value) for value in taken.values()} & hostile[1], taken


async def test_the_environment_cannot_replace_a_chosen_service_principal(
    workspace: Workspace, hostile: tuple[Front, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_ID", "robot-1")
    monkeypatch.setenv("MY_SECRET", workspace.principal("robot-1"))
    auth = {"type": "oauth-m2m", "client_id": {"env": "MY_ID"}, "client_secret": {"env": "MY_SECRET"}}
    await ask(backend(workspace, auth))
    assert sent(workspace) == [f"Bearer {workspace.issued[0]}"]


async def test_the_environment_cannot_replace_a_chosen_profile(
    workspace: Workspace, hostile: tuple[Front, set[str]], tmp_path: Path
) -> None:
    token = workspace.person("ada")
    file = tmp_path / "mine"
    file.write_text(f"[work]\nhost = {workspace.url}/\ntoken = {token}\n")
    auth = {"type": "profile", "profile": "work", "config_file": str(file)}
    await ask(backend(workspace, auth, host=None))
    assert sent(workspace) == [f"Bearer {token}"]


async def test_an_empty_token_is_refused_before_any_sdk_object_exists(
    workspace: Workspace, hostile: tuple[Front, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "databricks.sdk.config.Config.__init__", lambda *a, **k: pytest.fail("the SDK was asked")
    )
    monkeypatch.setenv("MY_TOKEN", "  ")
    made = backend(workspace, {"type": "pat", "token": {"env": "MY_TOKEN"}})
    assert type(made).not_ready(made.options) == "set MY_TOKEN"
    with pytest.raises(NotReady, match="set MY_TOKEN"):
        await ask(made)
    assert workspace.paths() == []


async def test_a_service_principal_gets_a_token_from_the_workspace(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = workspace.principal("robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", secret)
    await ask(backend(workspace, {"type": "oauth-m2m"}))
    assert workspace.paths() == [
        "/oidc/.well-known/oauth-authorization-server",
        "/oidc/v1/token",
        "/serving-endpoints/bot/invocations",
    ]
    asked = workspace.front.requests[1]
    basic = base64.b64encode(f"robot-1:{secret}".encode()).decode()
    assert asked.headers["authorization"] == f"Basic {basic}"
    assert asked.body == b"grant_type=client_credentials&scope=all-apis"
    assert sent(workspace) == [f"Bearer {workspace.issued[0]}"]


async def test_each_request_carries_a_token_that_is_good_at_that_moment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.principal("robot-1"))
    workspace.lifetime, workspace.rotate = 30, True  # renewed 40 s before the end: every time
    made = backend(workspace, {"type": "oauth-m2m"})
    for _ in range(3):
        events = [event async for event in made.stream(HELLO, CallContext())]
        assert accumulate(events).message.text == "hi"
    await made.aclose()
    assert len(set(workspace.issued)) == 3
    assert sent(workspace) == [f"Bearer {token}" for token in workspace.issued]


async def test_a_refused_service_principal_is_an_authentication_failure_without_its_secret(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.principal("robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "dose-a-wrong-secret")
    with pytest.raises(AuthenticationFailed, match="invalid_client: Client authentication failed") as caught:
        await ask(backend(workspace, {"type": "oauth-m2m"}))
    assert "dose-a-wrong" not in "".join(traceback.format_exception(caught.value))
    assert "Config:" not in str(caught.value)


@pytest.mark.parametrize("down", ["discovery", "token"])
async def test_a_sign_in_service_that_is_down_is_unavailable_and_worth_a_retry(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, down: str
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.principal("robot-1"))

    async def outage(_: Request) -> Response:
        return Response("<html>502 Bad Gateway</html>", 502, media_type="text/html")

    if down == "token":
        workspace.front.on("POST", "/oidc/v1/token", outage)
    else:
        workspace.front.on("GET", "/oidc/.well-known/oauth-authorization-server", outage)
    made = backend(workspace, {"type": "oauth-m2m"})
    with pytest.raises(Unavailable) as caught:
        [event async for event in made.stream(HELLO, CallContext())]
    assert caught.value.retryable
    workspace.front.on("POST", "/oidc/v1/token", workspace._token)
    workspace.front.on("GET", "/oidc/.well-known/oauth-authorization-server", workspace._oauth_metadata)
    assert accumulate(await ask(made)).message.text == "hi"  # a failure is not kept


async def test_an_unreachable_workspace_is_unavailable_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Workspace() as gone:
        pass
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi0123456789abcdef")
    async with asyncio.timeout(30):  # the SDK's own default is 300 s
        with pytest.raises(Unavailable) as caught:
            await ask(backend(gone))
    assert caught.value.retryable


async def test_a_token_is_asked_for_once_for_calls_that_start_together(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.principal("robot-1"))
    let_through = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(request: Request) -> Response:
        # Runs in the server's thread; the test's loop must be free to answer, or this never ends.
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(let_through.wait(), loop))
        return await workspace._token(request)

    workspace.front.on("POST", "/oidc/v1/token", slow)
    made = backend(workspace, {"type": "oauth-m2m"})
    assert workspace.paths() == []  # nothing is asked before the first call

    async def call() -> list[StreamEvent]:
        return [event async for event in made.stream(HELLO, CallContext())]

    calls = [asyncio.create_task(call()) for _ in range(4)]
    await workspace.front.wait_for(2)
    let_through.set()
    answers_ = await asyncio.gather(*calls)
    await made.aclose()
    assert [accumulate(events).message.text for events in answers_] == ["hi"] * 4
    assert workspace.paths().count("/oidc/v1/token") == 1


@pytest.mark.parametrize("kind", ["pat", "oauth-m2m", "profile"])
async def test_a_metadata_route_that_hangs_is_not_waited_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """Nor is it asked: a workspace says where it signs in by OAuth's own route."""
    monkeypatch.setenv("DATABRICKS_TOKEN", workspace.person("ada"))
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.principal("robot-1"))

    async def silent(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    workspace.front.on("GET", "/.well-known/databricks-config", silent)
    auth: dict[str, Any] = {"type": kind}
    if kind == "profile":  # a kind of credential that is the SDK's own
        tool = tmp_path / "databricks"
        tool.write_text(
            '#!/bin/sh\necho \'{"access_token": "from-the-tool", "token_type": "Bearer", '
            '"expiry": "2999-01-01T00:00:00Z"}\'\n'
            + "# padding, since a shim of the old tool is small\n"
            * 40000
        )
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        (tmp_path / "cfg").write_text(f"[work]\nhost = {workspace.url}\nauth_type = databricks-cli\n")
        auth |= {"profile": "work", "config_file": str(tmp_path / "cfg")}
        workspace.people["from-the-tool"] = "ada"
    assert accumulate(await ask(backend(workspace, auth))).message.text == "hi"
    assert "/.well-known/databricks-config" not in workspace.paths()


async def test_a_host_without_a_sign_in_of_its_own_says_where_it_is(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.principal("robot-1"))

    async def nothing(_: Request) -> Response:
        return Response(status_code=404)

    async def metadata(_: Request) -> Response:
        root = f"{workspace.url}/accounts/{{account_id}}/oidc"
        return JSONResponse({"oidc_endpoint": root, "account_id": "7"})

    workspace.front.on("GET", "/oidc/.well-known/oauth-authorization-server", nothing)
    workspace.front.on("GET", "/.well-known/databricks-config", metadata)
    workspace.front.on(
        "GET", "/accounts/7/oidc/.well-known/oauth-authorization-server", workspace._oauth_metadata
    )
    assert accumulate(await ask(backend(workspace, {"type": "oauth-m2m"}))).message.text == "hi"


def test_what_is_left_out_of_the_sdk_is_still_there_to_be_left_out() -> None:
    """A release of databricks-sdk that renames its look at a host's metadata brings its six seconds back."""
    from databricks.sdk.config import Config

    assert callable(Config._resolve_host_metadata)
    assert "_resolve_host_metadata" in inspect.getsource(Config.__init__)
    assert sdk_config().__init__ is Config.__init__


def test_the_sdk_takes_what_it_is_given_in_a_new_process() -> None:
    script = """
        from backends.databricks.auth import sdk_config
        made = sdk_config()(host="http://127.0.0.1:9", token="dapi-given", auth_type="pat")
        print(made.host, made.authenticate())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == "http://127.0.0.1:9 {'Authorization': 'Bearer dapi-given'}\n", done.stderr


def test_authorities_of_a_backend_that_do_not_reach_its_sign_in_are_named(tmp_path: Path) -> None:
    (tmp_path / "cfg").write_text("[work]\nhost = http://127.0.0.1:1\nauth_type = azure-cli\n")
    auth = {"type": "profile", "profile": "work", "config_file": str(tmp_path / "cfg")}
    options = DatabricksBackend.Options.model_validate(
        {"endpoint": "bot", "auth": auth, "ca_bundle": certifi.where()}
    )
    reason = DatabricksBackend.not_ready(options)
    assert reason == (
        "set REQUESTS_CA_BUNDLE instead of ca_bundle: the Databricks SDK signs in by azure-cli itself"
    )


async def test_a_secret_that_was_exchanged_is_used_from_then_on(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "token"
    made = backend(workspace, {"type": "pat", "token": {"file": str(file)}})
    tokens = [workspace.person("ada"), workspace.person("ada")]
    for token in (tokens[0], tokens[0], tokens[1]):
        file.write_text(token)
        assert [event async for event in made.stream(HELLO, CallContext())]
    await made.aclose()
    assert sent(workspace) == [f"Bearer {token}" for token in (tokens[0], tokens[0], tokens[1])]
    assert set(workspace.paths()) == {"/serving-endpoints/bot/invocations"}


@pytest.mark.parametrize("token", ["dapi-first\nsecond-half", "dapi-münchen", "dapi\x00tail"])
async def test_what_cannot_be_a_token_is_refused_without_repeating_it(
    workspace: Workspace, tmp_path: Path, token: str
) -> None:
    (tmp_path / "token").write_text(token)
    pat = {"type": "pat", "token": {"file": str(tmp_path / "token")}}
    for auth, context in ((pat, {}), ({"type": "user"}, {"credential": one_token(SecretStr(token))})):
        refused = (AuthenticationFailed, NotReady)
        with pytest.raises(refused, match=r"characters that no (token|key) has") as caught:
            await ask(backend(workspace, auth), **context)
        told = "".join(traceback.format_exception(caught.value))
        assert not [part for part in ("first", "second-half", "münchen", "tail") if part in told]
    assert sent(workspace) == []


async def test_stopping_does_not_wait_for_the_sign_in(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.principal("robot-1"))

    async def silent(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    workspace.front.on("POST", "/oidc/v1/token", silent)
    made = backend(workspace, {"type": "oauth-m2m"})
    task = asyncio.ensure_future(anext(made.stream(HELLO, CallContext())))
    await workspace.front.wait_for(2)
    task.cancel()
    async with asyncio.timeout(0.5):
        await asyncio.wait({task})
    assert task.cancelled()
    await made.aclose()
    assert sent(workspace) == []


async def test_a_profile_with_an_oauth_secret_is_a_service_principal(
    workspace: Workspace, tmp_path: Path
) -> None:
    secret = workspace.principal("robot-1")
    file = tmp_path / "cfg"
    file.write_text(
        f"[DEFAULT]\nhost = {workspace.url}\ntoken = dapi-of-default\n"
        f"[robot]\nhost = {workspace.url}\nclient_id = robot-1\nclient_secret = {secret}\n"
    )
    auth = {"type": "profile", "profile": "robot", "config_file": str(file)}
    await ask(backend(workspace, auth, host=None))
    assert sent(workspace) == [f"Bearer {workspace.issued[0]}"]


@pytest.mark.parametrize(
    ("text", "profile", "says"),
    [
        (None, "work", "make .* readable"),
        ("[other]\ntoken = x\n", "work", "add the profile work to"),
        ("token = x\n", "work", "not a valid configuration file"),
        ("[work]\nhost = http://127.0.0.1:1\n", "work", "give the profile work in .* an auth_type"),
        (
            "[work]\nhost = http://127.0.0.1:1\ntoken = x\nclient_id = y\nclient_secret = z\n",
            "work",
            "give the profile work in .* an auth_type",
        ),
        (
            "[work]\nhost = http://127.0.0.1:1\nauth_type = pat\n",
            "work",
            "give the profile work in .* a token",
        ),
        ("[work]\ntoken = x\n", "work", "set host of the profile work"),
        ("[DEFAULT]\ntoken = x\nhost = http://127.0.0.1:1\n[work]\n", "work", "an auth_type"),
    ],
)
def test_a_profile_that_does_not_show_one_credential_is_not_ready(
    tmp_path: Path, text: str | None, profile: str, says: str
) -> None:
    file = tmp_path / "cfg"
    if text is not None:
        file.write_text(text)
    options = DatabricksBackend.Options.model_validate(
        {"endpoint": "bot", "auth": {"type": "profile", "profile": profile, "config_file": str(file)}}
    )
    reason = DatabricksBackend.not_ready(options)
    assert reason is not None
    assert re.search(says, reason), reason


async def test_the_persons_own_token_is_needed_before_anything_else_happens(
    workspace: Workspace, hostile: tuple[Front, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "databricks.sdk.config.Config.__init__", lambda *a, **k: pytest.fail("the SDK was asked")
    )
    for token in (None, SecretStr(""), SecretStr("  ")):
        with pytest.raises(AuthRequired):
            await ask(
                backend(workspace, {"type": "user"}), credential=None if token is None else one_token(token)
            )
    assert workspace.paths() == []


async def test_two_people_at_once_are_never_mixed_and_leave_nothing_behind(workspace: Workspace) -> None:
    tokens = {name: workspace.person(name) for name in ("ada", "bob")}
    both = {"ada": asyncio.Event(), "bob": asyncio.Event()}

    made = backend(workspace, {"type": "user"})

    async def call(name: str) -> None:
        other = "bob" if name == "ada" else "ada"

        def mark(_: str) -> None:
            both[name].set()

        for _ in range(5):
            context = CallContext(name, one_token(SecretStr(tokens[name])), mark=mark)
            async for _event in made.stream(HELLO, context):
                await both[other].wait()

    await asyncio.gather(call("ada"), call("bob"))
    await made.aclose()
    assert sorted(sent(workspace)) == sorted([f"Bearer {token}" for token in tokens.values()] * 5)
    assert "dapi" not in repr(vars(made)) + repr(vars(made._credentials))


async def test_nothing_secret_is_logged_even_when_everything_is(
    workspace: Workspace,
    hostile: tuple[Front, set[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("databricks.sdk", "urllib3", "httpx2", "httpcore2", "httpcore"):
        caplog.set_level(logging.DEBUG, name)
    secrets = [workspace.person("ada"), workspace.principal("robot-1")]
    monkeypatch.setenv("MY_TOKEN", secrets[0])
    monkeypatch.setenv("MY_ID", "robot-1")
    monkeypatch.setenv("MY_SECRET", secrets[1])
    pat = backend(workspace, {"type": "pat", "token": {"env": "MY_TOKEN"}})
    robot = backend(
        workspace,
        {"type": "oauth-m2m", "client_id": {"env": "MY_ID"}, "client_secret": {"env": "MY_SECRET"}},
    )
    for made in (pat, robot):
        await ask(made)
        assert not [s for s in [*secrets, *workspace.issued] if s in repr(made) + repr(vars(made))]
    assert workspace.issued and "/oidc/v1/token" in caplog.text
    basic = base64.b64encode(f"robot-1:{secrets[1]}".encode()).decode()
    assert not [secret for secret in [*secrets, *workspace.issued, basic] if secret in caplog.text]


def test_every_public_exception_of_the_sdk_is_mapped() -> None:
    from databricks.sdk import errors

    public = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and name[0] != "_"}
    raised = {name: cls for name, cls in public.items() if issubclass(cls, BaseException)}
    assert len(raised) >= 20
    unmapped = []
    for name, cls in raised.items():
        found = sdk_error(cls("what happened"))
        if found is None or not isinstance(found, BackendError) or "what happened" not in found.detail:
            unmapped.append(name)
    assert unmapped == []


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("Unauthenticated", "AuthenticationFailed", 401),
        ("PermissionDenied", "PermissionDenied", 403),
        ("PrivateLinkValidationError", "PermissionDenied", 403),
        ("ResourceDoesNotExist", "ModelNotFound", 404),
        ("RequestLimitExceeded", "RateLimited", 429),
        ("InvalidParameterValue", "InvalidRequest", 400),
        ("TemporarilyUnavailable", "Unavailable", 503),
        ("DataLoss", "Unavailable", 500),
        ("OperationTimeout", "Unavailable", None),
    ],
)
def test_an_exception_of_the_sdk_keeps_its_meaning_however_deep_it_is(
    name: str, kind: str, status: int | None
) -> None:
    from databricks.sdk import errors

    try:
        try:
            raise getattr(errors, name)("what happened")
        except Exception as exc:
            raise ValueError("oauth-m2m: wrapped") from exc
    except ValueError as exc:
        found = auth_error(exc)
    assert (type(found).__name__, found.status) == (kind, status)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"auth": {"type": "pat", "token": "dapi0123456789"}}, "by reference"),
        ({"auth": {"type": "basic"}}, "'pat', 'oauth-m2m', 'profile', 'user'"),
        ({"auth": {"type": "profile"}}, "profile"),
        ({"endpoint": ""}, "at least 1 character"),
        ({"modle": 1}, "modle"),
    ],
)
def test_wrong_options_are_refused_without_repeating_a_secret(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DatabricksBackend.Options.model_validate({"endpoint": "bot", **values})
    assert says in str(caught.value)
    assert "dapi0123456789" not in str(caught.value)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    options = DatabricksBackend.Options(endpoint="bot")
    assert DatabricksBackend.not_ready(options) == "set DATABRICKS_HOST, set DATABRICKS_TOKEN"
    monkeypatch.setenv("DATABRICKS_HOST", "dbc-1.cloud.databricks.com")
    assert DatabricksBackend.not_ready(options) == "set DATABRICKS_TOKEN"
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi0123456789")
    assert DatabricksBackend.not_ready(options) is None
    assert config_arguments(options.host, options.auth)["host"] == "https://dbc-1.cloud.databricks.com"
    monkeypatch.setenv("DATABRICKS_HOST", "http://dbc-1.cloud.databricks.com")
    assert "https" in str(DatabricksBackend.not_ready(options))
    monkeypatch.setenv("DATABRICKS_HOST", "ftp://x")
    assert "URL of a workspace" in str(DatabricksBackend.not_ready(options))


def test_an_address_is_an_endpoint_by_the_token_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = from_address("databricks:bot")
    assert entry.not_ready == "set DATABRICKS_HOST, set DATABRICKS_TOKEN"
    monkeypatch.setenv("DATABRICKS_HOST", "https://dbc-1.cloud.databricks.com")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot-1")  # never a reason to call as somebody else
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "dose0123456789")
    assert entry.not_ready == "set DATABRICKS_TOKEN"
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi0123456789")
    assert entry.not_ready is None


def test_the_kind_can_be_listed_and_configured_without_its_sdk() -> None:
    script = """
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("databricks", "httpx2"):
                    raise ModuleNotFoundError(name, name=name)

        sys.meta_path.insert(0, Blocked())
        from backends.databricks import DatabricksBackend as Backend
        options = Backend.Options(endpoint="bot")
        print(Backend.capabilities(options).system, Backend.not_ready(options))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == (
        "True the databricks backend needs databricks.sdk: pip install -e '.[databricks]'\n"
    )
