"""A browser on the comparison page without its screen: its cookie, its requests, and the news it is told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.web.pages import Served

_PATIENCE = 30.0


class Person:
    """Who has one browser. `received` is everything that any answer had: addresses, headers and content."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.received: list[str] = []
        self.http = httpx2.Client(
            base_url=served.url, timeout=_PATIENCE, event_hooks={"response": [self._received]}
        )
        answer = self.http.get("/compare", headers={"accept": "text/html"})
        assert answer.status_code == 200
        assert self.http.cookies

    def _received(self, answer: httpx2.Response) -> None:
        self.received.append(f"{answer.request.url} {answer.status_code} {dict(answer.headers)}")
        if "text/event-stream" not in answer.headers.get("content-type", ""):
            self.received.append(answer.read().decode())

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return self.http.request(
            method,
            f"/-/compare{path}",
            json=body,
            headers={"x-chatlab": "1", **more.pop("headers", {})},
            **more,
        )

    def get(self, path: str) -> Any:
        return self._fine(self.send("GET", path))

    def post(self, path: str, body: Any = None) -> Any:
        return self._fine(self.send("POST", path, {} if body is None else body))

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        answer = self.send(method, path, body)
        assert answer.status_code >= 400, answer.text
        sentence = answer.json()["error"]
        assert sentence and "\n" not in sentence and "Traceback" not in sentence
        return answer.status_code, sentence

    def _fine(self, answer: httpx2.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    def begin(self, *lanes: str | dict[str, Any], **how: Any) -> Asked:
        specs = [{"backend": lane} if isinstance(lane, str) else lane for lane in lanes]
        return Asked(self, self.post("/sessions", {"lanes": specs, **how})["id"])

    def close(self) -> None:
        self.http.close()


class Asked:
    """One session of a person."""

    def __init__(self, person: Person, found_id: str) -> None:
        self.person = person
        self.id = found_id
        self.path = f"/sessions/{found_id}"

    @property
    def view(self) -> Any:
        return self.person.get(self.path)

    @property
    def lanes(self) -> list[str]:
        return [lane["id"] for lane in self.view["lanes"]]

    def post(self, below: str, body: Any = None) -> Any:
        return self.person.post(f"{self.path}{below}", body)

    def get(self, below: str) -> Any:
        return self.person.get(f"{self.path}{below}")

    def ended(self) -> Any:
        """The session once nothing runs: looked at whenever there is news."""
        if not (view := self.view)["running"]:
            return view
        with Tab(self) as tab:
            while (view := self.view)["running"]:
                tab.more()
            return view

    def ask(self, text: str, **how: Any) -> Any:
        """The session when it has answered."""
        self.post("/ask", {"text": text, **how})
        return self.ended()

    def answers(self, asked_round: int = -1) -> list[str]:
        """What is shown of the answers to a round, by lane in the order of the page."""
        view = self.view
        shown = view["rounds"][asked_round]["answers"]
        return [shown[lane["id"]][0]["html"] for lane in view["lanes"] if lane["id"] in shown]


class Tab:
    """An open stream of news. events: when, which, and what, in the order they came."""

    def __init__(self, asked: Asked) -> None:
        self.events: list[tuple[float, str, Any]] = []
        self.raw: list[str] = []
        self._asked = asked
        self._news = threading.Condition()
        self._seen = 0
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="tab", daemon=True)

    def __enter__(self) -> Self:
        person = self._asked.person
        host, port = person.served.url.removeprefix("http://").split(":")
        cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
        lines = [f"GET /-/compare{self._asked.path}/events HTTP/1.1", f"Host: {host}", f"Cookie: {cookies}"]
        asking = "\r\n".join((*lines, "Connection: close", "", ""))
        self._socket = socket.create_connection((host, int(port)), _PATIENCE)
        self._socket.sendall(asking.encode())
        self._thread.start()
        self.wait(lambda: any(name == "view" for _, name, _ in self.events))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the server may have ended it
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(_PATIENCE)
        self._socket.close()

    def _read(self) -> None:
        # A client library would wait for the next news before it noticed that it is to leave.
        with self._socket.makefile("rb") as lines, contextlib.suppress(OSError):
            name = ""
            for line in (raw.decode().rstrip("\r\n") for raw in lines):
                self.raw.append(line)
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    with self._news:
                        data = json.loads(line.removeprefix("data: "))
                        self.events.append((time.perf_counter(), name, data))
                        self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: condition() or self._ended, _PATIENCE)
        assert condition(), "the stream ended before that"

    def more(self) -> None:
        """Waits for news that were not waited for before."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.events) > self._seen or self._ended, _PATIENCE)
            self._seen = len(self.events)

    def wait_ended(self) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self._ended, _PATIENCE)

    def named(self, name: str) -> list[Any]:
        return [data for _, one, data in self.events if one == name]
