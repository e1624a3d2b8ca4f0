"""What servers send that the protocols do not foresee, and what becomes of it: held by `test_cases.py`.

docs/wire.md is made from this table: `python -m tests.backends._openai_wire.cases > docs/wire.md`.
"""

# ruff: noqa: E501 - a table of what is sent, a line each

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatlab.messages import StreamEvent, TextDelta, ToolCall

STREAM = "text/event-stream"


def labelled(label: str) -> str:
    """How the table says a label."""
    return f"labelled `{label}`" if label else "without a label"


def event(chunk: object, name: str = "") -> str:
    """One server-sent event."""
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(chunk)}\n\n"


def delta(text: str) -> str:
    """A chunk that carries this text."""
    return event(piece({"content": text}))


def piece(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    """A chunk with this delta."""
    return {"model": "m", "choices": [{"index": 0, "delta": dict(delta), "finish_reason": finish}]}


def calls(*pieces: Mapping[str, Any]) -> str:
    """A stream of these pieces of tool calls, with its end."""
    return "".join(event(piece({"tool_calls": [part]})) for part in pieces) + STOP


def function(name: str | None, arguments: str, **beside: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **beside}


STOP = event(piece({}, "stop")) + "data: [DONE]\n\n"
WHOLE = {
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
HELLO = delta("Hel") + delta("lo")
CALLS = (ToolCall("a", "weather", '{"city":"Paris"}'), ToolCall("b", "time", '{"tz":"UTC"}'))


@dataclass(frozen=True, slots=True)
class Case:
    """Something a server sends. Exactly one of `text`, `calls` and `error` says what becomes of it.

    what: for the table. body: the reply. label: its content type. status: its HTTP status.
    text: the answer. calls: the tool calls. notice: what is said beside it. error: the sentence of a failure,
    before which `kept` had arrived. group: the heading it stands under.
    """

    group: str
    what: str
    body: str | bytes
    label: str = STREAM
    status: int = 200
    text: str | None = None
    calls: tuple[ToolCall, ...] = ()
    notice: str = ""
    error: str = ""
    kept: str = ""

    @property
    def outcome(self) -> str:
        """What becomes of it, for the table."""
        if self.error:
            held = ", what had arrived stays" if self.kept else ""
            return f"fails: “{self.error}”{held}"
        said = "read" if self.text else f"{len(self.calls)} calls"
        return said + (f", with a notice: “{self.notice}”" if self.notice else "")

    def matches(self, events: Sequence[StreamEvent]) -> bool:
        """Whether these are the events of the answer."""
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        found = tuple(event for event in events if isinstance(event, ToolCall))
        return text == (self.text or "") and [(c.name, c.arguments) for c in found] == [
            (c.name, c.arguments) for c in self.calls
        ]


WHOLE_NOTICE = "not streamed"
NO_REASON = "the upstream gave no reason for the end of its answer: it may be cut off"
FRAMING = "Event streams"
LABELS = "Labels"
SHAPES = "Chunks"
TOOLS = "Tool calls"
ENDS = "Ends"
ERRORS = "Errors in a stream, or with status 200"
REPLIES = "Error replies"


def _framing() -> list[Case]:
    def ok(what: str, body: str | bytes) -> Case:
        return Case(FRAMING, what, body, text="Hello")

    whole = HELLO + STOP
    return [
        ok("a frame whose data is empty", delta("Hel") + "data:\n\ndata: \n\n" + delta("lo") + STOP),
        ok("a frame of `null` or `{}`", delta("Hel") + "data: null\n\ndata: {}\n\n" + delta("lo") + STOP),
        ok("`event: ping` with any data", delta("Hel") + "event: ping\ndata: ping\n\n" + delta("lo") + STOP),
        ok("`event: keepalive` without data", delta("Hel") + "event: keepalive\n\n" + delta("lo") + STOP),
        ok("data that is a keep-alive word", delta("Hel") + "data: heartbeat\n\n" + delta("lo") + STOP),
        ok(
            "a keep-alive as an object",
            delta("Hel") + event({"type": "keepalive"}) + event({"heartbeat": True}) + delta("lo") + STOP,
        ),
        ok(
            "chunks without anything between them",
            "data: "
            + json.dumps(piece({"content": "Hel"}))
            + json.dumps(piece({"content": "lo"}))
            + "\n\n"
            + STOP,
        ),
        ok("an event within an event", whole.replace("data: ", "data: data: ")),
        ok("comments, `id:`, `retry:` and unknown fields", ": x\n\nid: 1\nretry: 5\nfoo: bar\n\n" + whole),
        ok("a byte order mark", b"\xef\xbb\xbf" + whole.encode()),
        ok("lines that end with CR", whole.replace("\n", "\r")),
        ok("lines that end with CR LF", whole.replace("\n", "\r\n")),
        ok("line ends of several kinds", HELLO.replace("\n", "\r") + STOP.replace("\n", "\r\n")),
        ok("`data:` without a space", whole.replace("data: ", "data:")),
        ok("field names with white space or capitals", whole.replace("data:", " Data :")),
        ok("a comment as data", delta("Hel") + "data: : PROCESSING\n\n" + delta("lo") + STOP),
        ok("`event: done` with an object", HELLO + event(piece({}, "stop")) + event({"ok": True}, "done")),
        ok(
            "a byte order mark, or a record separator, before each event",
            "".join(f"\ufeff{one}\n\n" for one in HELLO.split("\n\n") if one) + "\x1e" + STOP,
        ),
        ok("no empty line between events", whole.replace("\n\n", "\n") + "\n"),
        ok("no empty line after the last event", whole.rstrip("\n")),
        ok(
            "`[DONE] ` with white space, or in quotes",
            HELLO + event(piece({}, "stop")) + 'data:  "[DONE]" \n\n',
        ),
        ok(
            "`event: done` instead of `[DONE]`",
            HELLO + event(piece({}, "stop")) + "event: done\ndata: ok\n\n",
        ),
        ok(
            "lines of JSON without `data:`",
            "".join(
                json.dumps(one) + "\n"
                for one in (piece({"content": "Hel"}), piece({"content": "lo"}, "stop"))
            ),
        ),
        ok(
            "a chunk over several `data:` lines",
            HELLO + "data: " + json.dumps(piece({}, "stop"), indent=1).replace("\n", "\ndata: ") + "\n\n",
        ),
    ]


def _labels() -> list[Case]:
    whole, laid_out = json.dumps(WHOLE), json.dumps(WHOLE, indent=2)
    cases = [
        Case(LABELS, f"an event stream {labelled(label)}", HELLO + STOP, label, text="Hello")
        for label in ("application/json", "text/plain", "application/octet-stream", "")
    ]
    cases += [
        Case(
            LABELS,
            f"a whole answer {labelled(label)}",
            body,
            label,
            text="Hello",
            notice=WHOLE_NOTICE,
        )
        for label, body in (
            (STREAM, whole),
            ("text/plain", laid_out),
            ("", whole),
            ("application/json", laid_out),
            ("application/json; charset=utf-8", "\n\n  " + whole + "\n"),
        )
    ]
    page = "<!doctype html><html><title>Sign in</title></html>"
    cases += [
        Case(
            LABELS,
            f"a web page labelled `{label}`",
            page,
            label,
            error="the upstream answered with a web page: Sign in",
        )
        for label in ("text/html", STREAM, "application/json")
    ]
    return cases


def _shapes() -> list[Case]:
    def ok(what: str, *chunks: object, **beside: Any) -> Case:
        return Case(SHAPES, what, "".join(map(event, chunks)) + "data: [DONE]\n\n", text="Hello", **beside)

    def choice(**held: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "finish_reason": None, **held}]}

    end = piece({}, "stop")
    return [
        ok("a whole answer as one event", WHOLE, notice=WHOLE_NOTICE),
        ok(
            "`message` where `delta` belongs, whole",
            choice(message={"content": "Hello"}, finish_reason="stop"),
            notice=WHOLE_NOTICE,
        ),
        ok("`message` in pieces", choice(message={"content": "Hel"}), choice(message={"content": "lo"}), end),
        ok(
            "`message` with all so far",
            choice(message={"content": "Hel"}),
            choice(message={"content": "Hello"}),
            end,
        ),
        ok(
            "`message` that repeats the deltas at the end",
            piece({"content": "Hel"}),
            piece({"content": "lo"}),
            choice(delta={}, message={"content": "Hello"}, finish_reason="stop"),
        ),
        ok(
            "`text` of the older completions",
            choice(text="Hel"),
            choice(text="lo"),
            choice(text="", finish_reason="stop"),
        ),
        ok("content as a list of parts", piece({"content": [{"type": "text", "text": "Hello"}]}), end),
        ok(
            "a chunk without choices beside them",
            {"object": "x", "id": "1"},
            piece({"content": "Hello"}),
            end,
        ),
        ok(
            '`finish_reason` of `""` or `"null"` before the end',
            piece({"content": "Hel"}, ""),
            piece({"content": "lo"}, "null"),
            end,
        ),
        ok(
            "null and strange values in known places",
            {"choices": None, "usage": []},
            {"choices": [None, "x"]},
            piece({"content": None, "tool_calls": None, "annotations": "x"}),
            piece({"content": "Hello", "role": 5}),
            end,
        ),
        ok("an index that is text", choice(delta={"content": "Hello"}, index="0"), end),
        ok("a content part without a type", piece({"content": {"text": "Hello"}}), end),
        ok(
            "a content part whose text is an object",
            piece({"content": [{"type": "text", "text": {"value": "Hello"}}]}),
            end,
        ),
        ok(
            "a finish reason in an object, or under another name",
            piece({"content": "Hello"}),
            choice(delta={}, finish_details={"type": "stop"}),
        ),
        ok("an answer in a `result`", {"result": WHOLE, "success": True}, notice=WHOLE_NOTICE),
        ok("chunks in a list", [piece({"content": "Hel"}), piece({"content": "lo"})], end),
    ]


def _tools() -> list[Case]:
    def ok(what: str, body: str, **beside: Any) -> Case:
        return Case(TOOLS, what, body, calls=CALLS, **beside)

    first, second = '{"city":"Paris"}', '{"tz":"UTC"}'
    return [
        ok(
            "all calls with the index 0, each in one piece",
            calls(function("weather", first, index=0, id="a"), function("time", second, index=0, id="b")),
        ),
        ok(
            "all calls with the index 0, in pieces",
            calls(
                function("weather", "", index=0, id="a"),
                function(None, first[:8], index=0, id=""),
                function(None, first[8:], index=0, id=""),
                function("time", "", index=0, id="b"),
                function(None, second, index=0, id=""),
            ),
        ),
        ok(
            "the index 0 and one id for all",
            calls(function("weather", first, index=0, id="a"), function("time", second, index=0, id="a")),
        ),
        ok("neither index nor id", calls(function("weather", first), function("time", second))),
        ok(
            "no index, pieces without an id",
            calls(
                function("weather", first[:8], id="a"),
                function(None, first[8:]),
                function("time", second[:4], id="b"),
                function(None, second[4:]),
            ),
        ),
        ok(
            "an id made up anew for each piece",
            calls(
                function("weather", "", index=0, id="a"),
                function(None, first[:8], index=0, id="x1"),
                function(None, first[8:], index=0, id="x2"),
                function("time", "", index=1, id="b"),
                function(None, second, index=1, id="x3"),
            ),
        ),
        ok(
            "name and id repeated in each piece",
            calls(
                function("weather", first[:8], index=0, id="a"),
                function("weather", first[8:], index=0, id="a"),
                function("time", second[:4], index=1, id="b"),
                function("time", second[4:], index=1, id="b"),
            ),
        ),
        ok(
            "all of a call so far in each piece",
            calls(
                function("weather", first[:8], index=0, id="a"),
                function("weather", first, index=0, id="a"),
                function("time", second, index=1, id="b"),
            ),
        ),
        ok(
            "name and arguments beside the id, which is a number",
            calls(
                {"id": 1, "index": 0, "name": "weather", "arguments": first},
                {"id": 2, "index": 1, "function": "time", "arguments": second},
            ),
        ),
        ok(
            "pieces of two calls in turn",
            calls(
                function("weather", first[:8], index=0, id="a"),
                function("time", second[:4], index=1, id="b"),
                function(None, first[8:], index=0),
                function(None, second[4:], index=1),
            ),
        ),
        ok(
            "calls of a whole answer in a stream",
            event(
                {
                    "choices": [
                        {
                            "message": {
                                "content": None,
                                "tool_calls": [
                                    function("weather", first, id="a"),
                                    function("time", second, id="b"),
                                ],
                            },
                            "finish_reason": "tool_calls",
                        }
                    ]
                }
            ),
            notice=WHOLE_NOTICE,
        ),
    ]


def _ends() -> list[Case]:
    nothing = "the upstream answered with nothing that is an answer; is its URL right?"
    cut = "the stream ended without a finish reason, so the answer may be cut off"
    return [
        Case(
            ENDS,
            "`[DONE]` without a finish reason",
            HELLO + "data: [DONE]\n\n",
            text="Hello",
            notice=NO_REASON,
        ),
        Case(ENDS, "`[DONE]` and nothing else", "data: [DONE]\n\n", error=nothing),
        Case(ENDS, "neither `[DONE]` nor a finish reason", HELLO, error=cut, kept="Hello"),
        Case(ENDS, "a finish reason without `[DONE]`", HELLO + event(piece({}, "stop")), text="Hello"),
        Case(
            ENDS,
            "a finish reason that is not known",
            HELLO + event(piece({}, "tired")),
            text="Hello",
            notice="the upstream ended its answer for the reason 'tired'",
        ),
        Case(
            ENDS,
            "a whole answer without a finish reason",
            json.dumps({"choices": [{"message": {"content": "Hello"}}]}),
            "application/json",
            text="Hello",
            notice=WHOLE_NOTICE,
        ),
        Case(ENDS, "an empty body", "", error=nothing),
        Case(ENDS, "a role and nothing else", event(piece({"role": "assistant"})), error=cut),
        Case(
            ENDS,
            "an answer of another protocol",
            event({"message": {"role": "assistant", "content": "Hello"}, "done": True}),
            error=nothing,
        ),
        Case(
            ENDS,
            "a chunk that is cut",
            HELLO + 'data: {"choices": [{"ind\n\n',
            kept="Hello",
            error="the upstream sent a chunk that is not JSON",
        ),
    ]


def _errors() -> list[Case]:
    def fails(what: str, said: str, sentence: str) -> Case:
        return Case(ERRORS, what, HELLO + said, error=sentence, kept="Hello")

    def whole(what: str, body: object, sentence: str) -> Case:
        return Case(ERRORS, what, json.dumps(body), "application/json", error=sentence)

    return [
        fails(
            "`event: error` with an object",
            event({"status_code": 500, "message": "it broke"}, "error"),
            "it broke",
        ),
        fails("`event: error` with text", "event: error\ndata: it broke badly\n\n", "it broke badly"),
        fails(
            "`event: error` with code and msg",
            event({"code": 1301, "msg": "content is sensitive"}, "error"),
            "content is sensitive",
        ),
        fails("an error field", 'error: {"message": "it broke"}\n\n', "it broke"),
        fails("a line of JSON", '{"error": {"message": "it broke"}}\n', "it broke"),
        fails("an error in a list", event([{"error": {"code": 503, "message": "overloaded"}}]), "overloaded"),
        fails(
            "text where a chunk belongs",
            "data: Number of choices must be greater than 0.\n\n",
            "Number of choices must be greater than 0.",
        ),
        fails("a marked sentence", "data: [ERROR] it broke\n\n", "[ERROR] it broke"),
        fails("an exception's name", event({"exception": "ValueError", "message": "it broke"}), "it broke"),
        fails("code and msg", event({"code": 1301, "msg": "content is sensitive"}), "content is sensitive"),
        fails("`success: false`", event({"success": False, "errors": [{"message": "no"}]}), "no"),
        fails(
            "an error in a choice",
            event({"choices": [{"index": 0, "delta": {}, "error": {"message": "it broke"}}]}) + STOP,
            "it broke",
        ),
        fails(
            "a finish reason that is a failure",
            event(piece({}, "insufficient_system_resource")) + STOP,
            "the upstream broke off its answer with the reason 'insufficient_system_resource'",
        ),
        Case(ERRORS, "a sentence where a stream belongs", "no model is loaded\n", error="no model is loaded"),
        fails(
            "an error with choices beside it",
            event({**piece({}), "error": {"message": "it broke"}}),
            "it broke",
        ),
        fails(
            "`base_resp`",
            event(
                {
                    "choices": None,
                    "usage": {"total_tokens": 0},
                    "base_resp": {"status_code": 1002, "status_msg": "rate limit"},
                }
            ),
            "rate limit",
        ),
        whole(
            "`base_resp` of a whole answer",
            {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail: check the key"}},
            "login fail: check the key",
        ),
        whole(
            "code and message of a whole answer",
            {"code": "InvalidParameter", "message": "out of range"},
            "out of range",
        ),
        whole("a message alone", {"message": "Internal Server Error"}, "Internal Server Error"),
        whole(
            "an error in a list",
            [{"error": {"message": "API key not valid", "code": 400}}],
            "API key not valid",
        ),
    ]


def _replies() -> list[Case]:
    detail = [
        {"type": "missing", "loc": ["body", "model"], "msg": "Field required", "input": {"secret": "x"}}
    ]
    shapes: list[tuple[str, object, str]] = [
        ("OpenAI's", {"error": {"message": "it broke", "type": "x", "code": None}}, "it broke"),
        ("an error that is text", {"error": "it broke"}, "it broke"),
        ("an error in an error", {"error": {"error": {"message": "it broke"}}}, "it broke"),
        (
            "JSON inside of the message",
            {"error": {"message": '{"error": {"message": "it broke"}}'}},
            "it broke",
        ),
        (
            "a list of errors",
            {
                "errors": [{"message": "AiError: no model", "code": 5007}],
                "success": False,
                "result": {},
                "messages": [],
            },
            "AiError: no model",
        ),
        ("errors by field", {"errors": {"model": ["is missing"]}}, "model: is missing"),
        ("code and msg", {"code": "1211", "msg": "model does not exist"}, "model does not exist"),
        ("FastAPI's detail", {"detail": detail}, "body.model: Field required"),
        (
            "FastAPI's detail in a message",
            {"object": "error", "message": {"detail": detail}},
            "body.model: Field required",
        ),
        (
            "a problem of RFC 9457",
            {"type": "about:blank", "title": "Bad", "detail": "it broke", "status": 400},
            "it broke",
        ),
        (
            "Google's list",
            [{"error": {"code": 400, "message": "it broke", "status": "INVALID_ARGUMENT"}}],
            "it broke",
        ),
        ("Apigee's fault", {"fault": {"faultstring": "it broke", "detail": {"errorcode": "x"}}}, "it broke"),
        (
            "Slack's",
            {
                "ok": False,
                "error": "invalid_arguments",
                "response_metadata": {"messages": ["[ERROR] it broke"]},
            },
            "it broke",
        ),
        ("errorMessage", {"errorMessage": "it broke", "errorType": "X"}, "it broke"),
        ("a text", "it broke", "it broke"),
        ("nothing", "", "the upstream answered 400"),
    ]
    return [
        Case(
            REPLIES,
            what,
            body if isinstance(body, str) else json.dumps(body),
            "application/json",
            400,
            error=sentence,
        )
        for what, body, sentence in shapes
    ]


CASES = (*_framing(), *_labels(), *_shapes(), *_tools(), *_ends(), *_errors(), *_replies())


def page() -> str:
    """docs/wire.md."""
    lines = [
        "# What is tolerated on the wire",
        "",
        "Servers of OpenAI's Chat Completions protocol differ in what they really send. Every line here is a test",
        "(`tests/backends/_openai_wire/test_cases.py`) that runs against a server on loopback, for the kinds `openai`,",
        "`huggingface` (chat), `databricks` (chat) and `langchain` (OpenAI's models by name); this page is made from them:",
        "`python -m tests.backends._openai_wire.cases > docs/wire.md`.",
        "",
        "An answer is read by what it is, not by how it is labelled. Whatever had arrived before a failure stays.",
        "Plugins read the same way with `chatlab.upstream` ([adding a backend](adding-a-backend.md)).",
        "",
        "An option that chatlab adds by itself (`stream_options`, `store`, `stream`) and a server refuses by name (400 or",
        "422, in any of the shapes below) is left out from then on, with a notice. `max_tokens` goes as",
        "`max_completion_tokens` where only that is known, and the other way round. What a person set is never left out.",
        "A connection that is reset before the first byte is tried again, by every kind. While bytes come, be they",
        "keep-alives, nothing is silent: `timeouts.idle` counts from the last one.",
        "",
        "Proxies (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) are those of httpx; a private authority is named by",
        "a backend's `ca_bundle`, or for all by `SSL_CERT_FILE`, `SSL_CERT_DIR`, `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`.",
        "What cannot be used is named by `chatlab check` and keeps the backend from being ready.",
    ]
    group = ""
    for case in CASES:
        if case.group != group:
            group = case.group
            lines += ["", f"## {group}", "", "| sent | what becomes of it |", "| --- | --- |"]
        lines.append(f"| {case.what} | {case.outcome} |".replace("\\", "\\\\"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
