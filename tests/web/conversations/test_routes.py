"""Nobody sees, changes or goes on with what is another's: every route and event of the page is tried."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from chatlab.web.routes import ApiRoutes
from tests.web.chat.test_page import PNG
from tests.web.pages import Served
from tests.web.shared.test_safety import launched

SECRET = "4711-zebra"
CONFIG = """\
version: 1
backends: {echo: {kind: echo, label: Echo}, other: {kind: echo, label: Other}}
storage: {sharing: true}
"""
HELLO = {"text": "hello", "files": []}
AGENT = {"accept": "text/html", "x-chatlab": "1"}

# What each route is sent, with the ids of somebody else's things. A route that is not here fails the test.
GET, POST, PATCH, DELETE = "GET", "POST", "PATCH", "DELETE"
CHAT = "/-/conversations/{id}"
ONE = "/-/compare/sessions/{id}"
LANE, ROUND = f"{ONE}/lanes/{{lane}}", f"{ONE}/rounds/{{round}}"
WITH_IDS: Mapping[tuple[str, str], Any] = {
    (PATCH, CHAT): {"title": "taken", "pinned": True},
    (DELETE, CHAT): None,
    (POST, f"{CHAT}/restore"): None,
    (GET, f"{CHAT}/export"): None,
    (GET, f"{CHAT}/shares"): None,
    (POST, f"{CHAT}/shares"): None,
    (DELETE, f"{CHAT}/shares"): None,
    (GET, "/-/compare/chats/{id}"): None,
    (GET, "/-/files/{sha256}"): None,
    (GET, ONE): None,
    (DELETE, ONE): None,
    **{(POST, f"{ONE}/{act}"): {} for act in ("restore", "ask", "edit", "retry", "undo", "stop", "lanes")},
    **{(POST, f"{ONE}/{act}"): {} for act in ("order", "mode", "pick", "checkout", "votes")},
    **{(POST, f"{ONE}/{act}"): {} for act in ("reveal", "title")},
    **{(GET, f"{ONE}/{what}"): None for what in ("events", "ranking", "report")},
    **{(method, f"{ONE}/shares"): None for method in (GET, POST, DELETE)},
    (PATCH, LANE): {},
    (DELETE, LANE): None,
    (POST, f"{LANE}/rerun"): {},
    (POST, f"{LANE}/chat"): {},
    (GET, f"{LANE}/recording"): None,
    **{(GET, f"{ROUND}/{what}"): None for what in ("receipts", "difference", "agreement")},
}
# For whoever asks: their own things, or nobody's. What they answer holds nothing of others.
OWN: Mapping[tuple[str, str], Any] = {
    (GET, "/-/conversations"): None,
    (GET, "/-/export"): None,
    (GET, "/-/import"): None,
    (POST, "/-/import"): {"conversations": []},
    **{(method, "/-/along"): None for method in (GET, POST, DELETE)},
    (GET, "/-/backends/{name}/models"): None,
    (GET, "/-/compare/options"): None,
    (GET, "/-/compare/backends"): None,
    (GET, "/-/compare/sessions"): None,
    (POST, "/-/compare/sessions"): {"lanes": [{"backend": "echo"}, {"backend": "other"}]},
    (POST, "/-/compare/uploads"): "text",
}
PUBLIC = {
    (GET, "/compare"),
    (GET, "/-/static"),
    (GET, "/-/code.css"),
    (GET, "/-/shared/{token}"),  # the token is the right to ask
    (GET, "/-/shared/comparison/{token}"),
    (POST, "/-/compare/runs/{token}"),  # whoever runs the server handed its address out
    (GET, "/healthz"),
    (GET, "/readyz"),
    (GET, "/metrics"),  # it looks at who asks
}


@dataclass
class Browser:
    """Somebody with a cookie of their own."""

    client: httpx2.Client
    hash: str
    components: dict[int, Any] = field(default_factory=dict)
    dependencies: list[Any] = field(default_factory=list)

    @classmethod
    def at(cls, url: str, session_hash: str) -> Browser:
        client = httpx2.Client(base_url=url, timeout=30, headers=AGENT)
        client.get("/")
        config = client.get("/config").json()
        components = {one["id"]: one for one in config["components"]}
        return cls(client, session_hash, components, config["dependencies"])

    def value(self, component_id: int, given: Mapping[str, Any]) -> Any:
        component = self.components[component_id]
        return given.get(component["type"], component["props"].get("value"))

    def fire(
        self, event: Any, given: Mapping[str, Any], data: Any, *, session_hash: str = "", query: str = ""
    ) -> str:
        """Has Gradio run an event as a page would, and answers all that came back."""
        body = {
            "data": [self.value(component_id, given) for component_id in event["inputs"]],
            "fn_index": event["id"],
            "session_hash": session_hash or self.hash,
            "event_data": data,
            "trigger_id": next((target for target, _ in event["targets"] if target is not None), None),
        }
        if event["queue"] is False:
            return self.client.post(f"/gradio_api/run/predict?{query}", json=body).text
        joined = self.client.post(f"/gradio_api/queue/join?{query}", json=body)
        if joined.status_code != 200:
            return joined.text
        said = ""
        with self.client.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": body["session_hash"]}
        ) as stream:
            if stream.status_code != 200:
                return f"{stream.read()!r}"
            for line in stream.iter_lines():
                said += f"{line}\n"
                if '"process_completed"' in line or '"close_stream"' in line:
                    break
        return said

    def event(self, name: str) -> Any:
        """The event of a function by its name."""
        return next(one for one in self.dependencies if one.get("api_name") == name)


@dataclass
class Theirs:
    """What the owner has."""

    conversation: str
    turn: str
    sha256: str
    session: str
    lane: str
    asked_round: str
    files: Path

    def snapshot(self) -> Any:
        """Everything in the database that a stranger must not change."""
        with closing(sqlite3.connect(self.files / ".chatlab" / "chatlab.db")) as connection:
            return [
                connection.execute(
                    f"select {what} from {table} where {key} = ? order by 1, 2", (name,)
                ).fetchall()
                for what, table, key, name in (
                    ("*", "conversations", "id", self.conversation),
                    ("*", "turns", "conversation", self.conversation),
                    ("*", "shares", "conversation", self.conversation),
                    ("id, title, deleted", "comparisons", "id", self.session),
                    ("*", "log_entries", "comparison", self.session),
                    ("*", "shares", "comparison", self.session),
                )
            ]

    def unfinished(self) -> int:
        """How many turns the database does not have the end of."""
        with closing(sqlite3.connect(self.files / ".chatlab" / "chatlab.db")) as connection:
            return int(
                connection.execute("select count(*) from turns where status = 'running'").fetchone()[0]
            )

    def path(self, template: str) -> str:
        ids = {
            "conversation": self.conversation,
            "lane": self.lane,
            "round": self.asked_round,
            "name": "echo",
        }
        name = self.session if "/compare/" in template else self.conversation
        return template.format(id=name, sha256=self.sha256, token="wrong", **ids)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("kept") / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    served = Served(file)
    yield served
    served.stop()


@pytest.fixture(scope="module")
def folder(served: Served) -> Path:
    config = served.lab.config
    assert config is not None and config.storage is not None and isinstance(config.storage.url, str)
    return Path(config.storage.url.removeprefix("sqlite:")).parents[1]


@pytest.fixture(scope="module")
def owner(served: Served) -> Iterator[Browser]:
    browser = Browser.at(served.url, "ownerspage")
    yield browser
    browser.client.close()


@pytest.fixture(scope="module")
def stranger(served: Served) -> Iterator[Browser]:
    browser = Browser.at(served.url, "strangerspage")
    yield browser
    browser.client.close()


@pytest.fixture(scope="module")
def theirs(owner: Browser, folder: Path) -> Theirs:
    """What the owner has, made as a page makes it."""
    uploaded = owner.client.post("/gradio_api/upload", files={"files": ("dot.png", PNG)}).json()[0]
    file = {"path": uploaded, "meta": {"_type": "gradio.FileData"}, "orig_name": "dot.png"}
    message = {"multimodaltextbox": {"text": f"{SECRET} of the owner", "files": [file]}}
    answer = owner.fire(owner.event("_submit_fn"), message, None)
    assert SECRET in answer, answer
    with closing(sqlite3.connect(folder / ".chatlab" / "chatlab.db")) as connection:
        ((turn, conversation),) = connection.execute("select id, conversation from turns").fetchall()
        ((sha256,),) = connection.execute("select sha256 from attachments").fetchall()
    assert owner.client.get(f"/-/files/{sha256}").content == PNG
    begun = owner.client.post(
        "/-/compare/sessions", json={"lanes": [{"backend": "echo"}, {"backend": "other"}]}
    ).json()
    session = begun["id"]
    asked = owner.client.post(f"/-/compare/sessions/{session}/ask", json={"text": f"{SECRET} too"})
    assert asked.status_code == 200, asked.text
    while not _at_rest(whole := owner.client.get(f"/-/compare/sessions/{session}").json()):
        continue
    owner.client.post(f"/-/conversations/{conversation}/shares")
    lane, round_id = whole["lanes"][0]["id"], whole["rounds"][0]["id"]
    made = Theirs(conversation, turn, sha256, session, lane, round_id, folder)
    still, seen = 0, made.snapshot()
    while made.unfinished() or still < 30:  # what a session still has to write comes a moment later
        owner.client.get(f"/-/compare/sessions/{session}")
        still, seen = (still + 1 if seen == made.snapshot() else 0), made.snapshot()
    return made


def _at_rest(session: Any) -> bool:
    answers = [one for lane in session["rounds"][0]["answers"].values() for one in lane]
    return not session["running"] and [one["status"] for one in answers] == ["finished"] * 2


def table(served: Served) -> set[tuple[str, str]]:
    """Every route that is chatlab's own."""
    own = ApiRoutes(Starlette(), served.lab)._own

    def below(routes: list[BaseRoute], prefix: str) -> Iterator[tuple[str, str]]:
        for route in routes:
            if isinstance(route, Mount):
                path = f"{prefix}{route.path}"
                yield from below(list(route.routes), path) if route.routes else [(GET, path)]
            else:
                assert isinstance(route, Route)
                for method in (route.methods or set()) - {"HEAD"}:
                    yield method, f"{prefix}{route.path}"

    return set(below(list(own.routes), ""))


def test_every_route_is_tried_here(served: Served) -> None:
    assert table(served) == set(WITH_IDS) | set(OWN) | PUBLIC


def send(browser: Browser, method: str, path: str, body: Any, **headers: str) -> httpx2.Response:
    content = None if body is None else json.dumps(body).encode()
    return browser.client.request(method, path, content=content, headers=headers)


@pytest.mark.parametrize(("method", "path"), WITH_IDS, ids="".join)
def test_a_route_knows_nothing_of_anothers(stranger: Browser, theirs: Theirs, method: str, path: str) -> None:
    before = theirs.snapshot()
    answer = send(stranger, method, theirs.path(path), WITH_IDS[method, path])
    assert answer.status_code == 404, answer.text
    assert SECRET not in answer.text
    assert theirs.snapshot() == before


@pytest.mark.parametrize(("method", "path"), OWN, ids="".join)
def test_a_route_for_ones_own_things_has_none_of_anothers(
    stranger: Browser, theirs: Theirs, method: str, path: str
) -> None:
    before = theirs.snapshot()
    for query in ("", f"?q={SECRET}&after=1", f"?id={theirs.conversation}&owner=%25"):
        answer = send(stranger, method, path + query, OWN[method, path])
        assert SECRET not in answer.text and theirs.conversation not in answer.text
    assert theirs.snapshot() == before


@pytest.mark.parametrize(("method", "path"), [one for one in (*WITH_IDS, *OWN) if one[0] != GET], ids="".join)
def test_what_changes_something_needs_the_header_that_no_other_site_can_send(
    owner: Browser, theirs: Theirs, method: str, path: str
) -> None:
    before = theirs.snapshot()
    bare = httpx2.Client(base_url=owner.client.base_url, cookies=owner.client.cookies)
    with bare:
        answer = bare.request(method, theirs.path(path), content=b"{}")
    assert answer.status_code == 403 and "x-chatlab" in answer.text
    assert theirs.snapshot() == before


@pytest.mark.parametrize(("method", "path"), [*WITH_IDS, *OWN], ids="".join)
@pytest.mark.parametrize("cookie", [None, "", "short", "x" * 43, "../" * 12])
def test_without_a_cookie_of_ours_there_is_nothing(
    served: Served, theirs: Theirs, method: str, path: str, cookie: str | None
) -> None:
    cookies = {} if cookie is None else {"chatlab-browser": cookie}
    answer = httpx2.request(
        method, served.url + theirs.path(path), headers={"x-chatlab": "1"}, cookies=cookies, content=b"{}"
    )
    assert SECRET not in answer.text
    if cookie != "x" * 43:  # that one could be anybody's
        assert answer.status_code == 401


# -- the page's own events


def forged(theirs: Theirs) -> dict[str, Any]:
    """What a page would send that shows the owner's conversation."""
    footer = {"title": "Echo", "id": f"turn:{theirs.turn}:", "status": "done"}
    text = [{"type": "text", "text": "hello"}]
    chat = [
        {"role": "user", "metadata": None, "options": None, "content": text},
        {"role": "assistant", "metadata": footer, "options": None, "content": text},
    ]
    return {"chatbot": chat, "multimodaltextbox": {"text": "go on", "files": []}, "state": None}


def data_of(theirs: Theirs) -> list[Any]:
    ids = {"conversation": theirs.conversation, "turn": theirs.turn}
    return [
        ids,
        {"turn": theirs.turn, "step": "1"},
        {"earlier": "yes"},
        {"index": [0, 0], "value": "changed", "previous_value": "hello"},
    ]


def test_no_event_of_the_page_reads_or_goes_on_with_anothers(stranger: Browser, theirs: Theirs) -> None:
    before = theirs.snapshot()
    tried = 0
    for event in stranger.dependencies:
        if not event["backend_fn"]:
            continue
        for data in data_of(theirs):
            said = stranger.fire(event, forged(theirs), data, query=f"c={theirs.conversation}")
            assert SECRET not in said, event["api_name"]
            tried += 1
    assert tried > 80
    assert theirs.snapshot() == before


def test_a_page_that_claims_to_show_anothers_conversation_cannot_go_on_with_it(
    stranger: Browser, theirs: Theirs
) -> None:
    before = theirs.snapshot()
    claims = Browser(stranger.client, "claims", stranger.components, stranger.dependencies)
    shown = forged(theirs)
    said = claims.fire(claims.event("_submit_fn"), shown, None)
    assert "This conversation is not there any more" in said and SECRET not in said
    assert theirs.snapshot() == before


def test_the_hash_of_anothers_page_opens_nothing(stranger: Browser, owner: Browser, theirs: Theirs) -> None:
    before = theirs.snapshot()
    for event in stranger.dependencies:
        if event["backend_fn"]:
            for data in data_of(theirs)[:2]:
                said = stranger.fire(event, forged(theirs), data, session_hash=owner.hash)
                assert SECRET not in said, event["api_name"]
    for path in ("/gradio_api/queue/data?session_hash=ownerspage", "/gradio_api/heartbeat/ownerspage"):
        with stranger.client.stream("GET", path) as answer:
            assert answer.status_code == 403
    assert theirs.snapshot() == before


def test_the_owner_can_do_all_of_that(owner: Browser, theirs: Theirs) -> None:
    """Or the tests above would pass for want of anything to find."""
    said = owner.fire(owner.event("asked"), forged(theirs), {"conversation": theirs.conversation})
    assert SECRET in said
    fresh = Browser(owner.client, "ownerssecondpage", owner.components, owner.dependencies)
    assert SECRET in fresh.fire(fresh.event("asked"), {}, {"conversation": theirs.conversation})
    for path in ("/-/conversations", f"/-/conversations/{theirs.conversation}/export?format=markdown"):
        assert SECRET in owner.client.get(path).text
    assert owner.client.get(f"/-/conversations?q={SECRET[:4]}").json()["conversations"]


def test_a_launched_page_has_the_same_routes_and_the_same_cookie(tmp_path: Path) -> None:
    """As `python app.py` and a Space run it."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    with launched(file, tmp_path) as url:
        assert httpx2.get(f"{url}/-/conversations").status_code == 401
        browser = Browser.at(url, "apage")
        with closing(browser.client) as client:
            assert client.get("/-/conversations").json() == {"conversations": [], "next": None}
            said = browser.fire(browser.event("_submit_fn"), {"multimodaltextbox": HELLO}, None)
            assert "process_completed" in said
            (kept,) = client.get("/-/conversations").json()["conversations"]
            assert kept["title"] == "hello"
            assert client.get("/compare").status_code == 200
            assert client.get("/-/static/sidebar/sidebar.js").status_code == 200


# -- shares and the cookie


def test_a_link_is_read_by_anybody_without_scripts_and_ends(owner: Browser, theirs: Theirs) -> None:
    path = f"/-/conversations/{theirs.conversation}/shares"
    token = owner.client.post(path).json()["token"]
    url = f"{owner.client.base_url}/-/shared/{token}".replace("//-", "/-")
    answer = httpx2.get(url)
    assert SECRET in answer.text and "owner-" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script" not in policy.replace("allow-scripts", "")
    comparison = owner.client.post(f"/-/compare/sessions/{theirs.session}/shares")
    assert comparison.status_code == 200
    owner.client.delete(path)
    assert httpx2.get(url).status_code == 404
    assert httpx2.get(url + "x").status_code == 404


def test_the_cookie_is_for_this_server_alone(served: Served) -> None:
    plain = httpx2.get(served.url, headers=AGENT).headers["set-cookie"]
    assert "HttpOnly" in plain and "SameSite=Lax" in plain and "Secure" not in plain
    assert "set-cookie" not in httpx2.get(f"{served.url}/config").headers


async def test_the_cookie_is_secure_where_the_page_is() -> None:
    from chatlab.web.shared.owner import BrowserCookie

    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "GET", "path": "/", "scheme": "https", "query_string": b""},
        "headers": [(b"host", b"chat.example"), (b"accept", b"text/html")],
    }
    await BrowserCookie(app)(scope, None, send)  # type: ignore[arg-type]
    (cookie,) = [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]
    assert "Secure" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie
