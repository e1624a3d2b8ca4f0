"""Two people at every credential that a backend can have, at once: as whom it is asked, and what is seen.

Each of them asks fifty turns and more at a time, in each way of signing in, at the credentials that it has.
The services know by the token they get who asks, and by the text who that has to be; every token is then
looked for wherever something is told or stored.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.identity.test_forwarded import principal
from tests.servers.exchanging import CANARY
from tests.servers.oidc import CLIENT
from tests.web.identity.people import OPENS, signed_in, somebody
from tests.web.identity.services import BACKENDS, PERSON, SERVICE, THERE, Services, all_services
from tests.web.identity.test_sign_in import ask
from tests.web.pages import Served


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Services]:
    with all_services(monkeypatch, tmp_path) as found:
        yield found


@dataclass
class Asker:
    """Somebody who compares, and everything that they were told. name: as the provider knows them."""

    name: str
    client: httpx2.Client
    told: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """What the pages call them."""
        return self.name if "@" in self.name else self.name.title()

    def get(self, path: str) -> httpx2.Response:
        """What is answered, which is remembered with its headers."""
        answer = self.client.get(path)
        self.told.append(f"{answer.headers}\n{answer.text}")
        return answer

    def compare(self, backends: tuple[str, ...], text: str) -> tuple[str, dict[str, Any]]:
        """The address of a session in which these were asked, and its view once all have answered."""
        lanes = {"lanes": [{"backend": name} for name in backends]}
        one = f"/-/compare/sessions/{self.client.post('/-/compare/sessions', json=lanes).json()['id']}"
        self.client.post(f"{one}/ask", json={"text": text})
        while (view := self.client.get(one).json())["running"]:
            time.sleep(0.4)
        self.told.append(str(view))
        return one, view

    def look(self, one: str, view: dict[str, Any]) -> None:
        """Ask for everything that a session can be told or exported as."""
        number = view["rounds"][0]["id"]
        paths = [f"{one}/rounds/{number}/receipts", f"{one}/ranking"]
        paths += [f"{one}/report?format={form}" for form in ("html", "markdown", "jsonl", "votes")]
        paths += [f"{one}/lanes/{lane['id']}/recording" for lane in view["lanes"]]
        token = self.client.post(f"{one}/shares").json()["token"]
        paths += [f"/-/shared/comparison/{token}"]
        assert {self.get(path).status_code for path in paths} == {200}

    def look_around(self) -> None:
        """Ask for everything else that a person can ask for."""
        paths = [f"/-/export?format={form}" for form in ("jsonl", "markdown", "html")]
        paths += ["/", "/config", "/compare", "/-/me", "/-/conversations", "/gradio_api/info"]
        assert {self.get(path).status_code for path in paths} == {200}
        self.told.append(str(self.client.cookies))


@dataclass(frozen=True)
class WayIn:
    """A way of signing in. auth: what the configuration has. comes_in: yields somebody's client. asked: the
    backends, each as often as it is asked in a round. person: those that are asked as the person."""

    asked: tuple[str, ...]
    person: tuple[str, ...]
    auth: Callable[[Services], str]
    comes_in: Callable[[Services, str, str], AbstractContextManager[httpx2.Client]]
    people: tuple[str, str] = ("ann@example.com", "bob@example.com")
    rounds: int = 7


@contextmanager
def at_the_workspace(services: Services, url: str, name: str) -> Iterator[httpx2.Client]:
    services.workspace.visitor = name
    with somebody(url) as client:
        assert client.get("/config", headers=OPENS, follow_redirects=True).url.path == "/config"
        yield client


@contextmanager
def by_databricks_apps(services: Services, url: str, name: str) -> Iterator[httpx2.Client]:
    with somebody(url) as client:
        client.headers |= {"x-forwarded-user": f"{name}@1", "x-forwarded-email": name}
        client.headers["x-forwarded-preferred-username"] = name
        client.headers["x-forwarded-access-token"] = services.workspace.person(name)
        yield client


@contextmanager
def by_app_service(services: Services, url: str, name: str) -> Iterator[httpx2.Client]:
    with somebody(url) as client:
        who = principal(("oid", name), ("tid", "t"), ("name", name.title()))
        client.headers["x-ms-client-principal"] = who
        client.headers["x-ms-token-aad-access-token"] = services.provider.access(sub=name, aud="chatlab")
        yield client


def of_the_workspace(services: Services) -> str:
    secret = services.workspace.application("the-application")
    Path("secret-of-test").write_text(secret)
    return (
        f"{{type: databricks, host: '{services.workspace.url}', client_id: the-application, "
        "client_secret: {file: secret-of-test}, audit: audit.jsonl}"
    )


def of_app_service(services: Services) -> str:
    discovery = f"{services.provider.issuer}/.well-known/openid-configuration"
    application = (
        f"{{discovery: '{discovery}', client_id: {CLIENT}, client_secret: {{env: CHATLAB_TEST_CLIENT}}}}"
    )
    return (
        f"{{type: azure_app_service, token_for: '{services.workspace.url}', application: {application}, "
        "audit: audit.jsonl}"
    )


WAYS = {
    "oidc": WayIn(
        (*SERVICE, *PERSON),
        PERSON,
        lambda services: services.provider.config(", audit: audit.jsonl"),
        lambda services, url, name: signed_in(url, services.provider, name),
        ("ann", "bob"),
        4,
    ),
    "databricks": WayIn(
        (*(THERE, "as-it-is", "graph") * 2, "key", "m2m"),
        (THERE, "as-it-is", "graph"),
        lambda services: f"auth: {of_the_workspace(services)}\n",
        at_the_workspace,
    ),
    "databricks_apps": WayIn(
        (*(THERE,) * 6, "key", "m2m"),
        (THERE,),
        lambda _: "auth: {type: databricks_apps, audit: audit.jsonl}\n",
        by_databricks_apps,
    ),
    "azure_app_service": WayIn(
        (*(THERE, "on-behalf", "on-behalf-openai") * 2, "key", "managed"),
        (THERE, "on-behalf", "on-behalf-openai"),
        lambda services: f"auth: {of_app_service(services)}\n",
        by_app_service,
        ("ann", "bob"),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_at_every_credential_each_is_asked_as_whoever_asks_and_no_token_is_seen_anywhere(
    way: str,
    services: Services,
    serve: Callable[[str], Served],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABRICKS_APP_NAME", "chat")
    monkeypatch.setenv("DATABRICKS_HOST", services.workspace.url)
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    come = WAYS[way]
    everybody = come.asked
    urls = {"gateway": services.gateway.url, "workspace": services.workspace.url}
    config = yaml.safe_load(BACKENDS.format(**urls, collector=services.told.url))
    config["backends"] = {name: config["backends"][name] for name in everybody}
    served = serve(yaml.safe_dump(config, sort_keys=False) + come.auth(services))
    halves = [half for half in (everybody[:8], everybody[8:]) if half]
    with ExitStack() as stack, ThreadPoolExecutor(16) as threads:
        people = [
            Asker(name, stack.enter_context(come.comes_in(services, served.url, name)))
            for name in come.people
        ]
        if "workload" in everybody:
            # A pod's identity is looked up in the environment once; then this is a machine again.
            people[0].compare(("workload", "key"), f"{people[0].name} asks first")
        monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE")
        asked = [
            (one, half, threads.submit(one.compare, half, f"{one.name} asks {number}"))
            for number in range(come.rounds)
            for one in people
            for half in halves
        ]
        for one, half, done in asked:
            session, view = done.result(120)
            for lane, backend in zip(view["lanes"], half, strict=True):
                answer = view["rounds"][0]["answers"][lane["id"]][0]
                as_person = backend in come.person
                who = one.name if as_person else SERVICE[backend]
                assert f"you are {who}" in str(answer), (backend, answer)
                assert lane["asked_as"] == (one.shown if as_person else "the service")
        for one in people:
            failed = [one.compare(half, f"{one.name} asks to fail") for half in halves]
            assert str(failed).count("may not") >= len(everybody) - 1
            for session, view in failed:
                one.look(session, view)
            one.look_around()
            one.told.append(ask(one.client, f"{one.name} asks the chat", f"hash-of-{one.name}"))
    served.stop()
    # Who was asked as whom: by each token, in every turn.
    assert {backend for backend, _, _ in services.asked} == set(everybody)
    for backend, who, text in services.asked:
        of_whom = text.partition(" ")[0] if backend in come.person else SERVICE[backend]
        assert who == of_whom, (backend, who, text)
    assert len(services.asked) >= 2 * (come.rounds + 1) * len(everybody)
    # And what is seen of it: nothing.
    told = [text for one in people for text in one.told]
    told += [caplog.text, "\n".join(map(repr, caplog.records)), *capfd.readouterr()]
    traces = "\n".join(body.decode("latin-1") for body in services.told.bodies)
    told.append(traces)
    own = {
        "key-of-test",
        "databrickscfg",
        "ca.pem",
        "own.pem",
        "federated",
        "secret-of-test",
    }  # of whoever runs it
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name not in own]
    stored = b"\n".join(file.read_bytes() for file in files).decode("latin-1")
    assert "asks to fail" in traces and "asks to fail" in stored and (tmp_path / "audit.jsonl") in files
    everything = "\n".join((*told, stored))
    secrets = {CANARY, "ambient", *services.tokens}
    secrets |= {part for token in services.tokens for part in token.split(".")[1:] if len(part) > 20}
    secrets |= {base64.b64encode(token.encode()).decode() for token in services.tokens}
    for secret in secrets:
        at = everything.find(secret)
        assert at < 0, everything[max(0, at - 200) : at + 100]
