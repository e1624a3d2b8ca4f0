"""The text generation protocol of text-generation-inference (TGI): its stream, as events.

Protocol: the server's OpenAPI description (`StreamResponse`, `GenerateResponse`), and its source for what
that leaves out: failures come as HTTP 200 with `{"error", "error_type"}`; nothing follows the chunk that has
`details`; a stop sequence that ended the answer is part of it; one in the middle of a token ends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backends._openai_wire.think_tags import ThinkTags, overlap
from backends.huggingface.errors import error_from_chunk
from chatlab.errors import BrokenStream
from chatlab.messages import Finish, FinishReason, Notice, StreamEvent, TextDelta, Usage

MAX_SERVER_STOPS = 4
"""Stop sequences a server takes unless its operator allowed more; further ones are looked for here alone."""

_REASONS: Mapping[str, FinishReason] = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}


class StopFilter:
    """Lets text through up to the first stop sequence, however that is spread over the pieces.

    Text that may be the beginning of a stop sequence is held back until it is known not to be one.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(dict.fromkeys(stop for stop in stops if stop))
        self._held = ""
        self.stopped = False

    def feed(self, piece: str) -> str:
        """Return what may be shown now."""
        if self.stopped:
            return ""
        if not self._stops:
            return piece
        text = self._held + piece
        if self._stops_in(text):
            return self._before_stop(text)
        shown = len(text) - max(overlap(text, stop) for stop in self._stops)
        self._held = text[shown:]
        return text[:shown]

    def special(self, token: str) -> str:
        """Takes note of a special token, which is not shown but may be, or complete, a stop sequence."""
        text = self._held + token
        return self._before_stop(text) if not self.stopped and self._stops_in(text) else ""

    def _stops_in(self, text: str) -> bool:
        return any(stop in text for stop in self._stops)

    def _before_stop(self, text: str) -> str:
        self._held, self.stopped = "", True
        return text[: min(text.index(stop) for stop in self._stops if stop in text)]

    def end(self) -> str:
        """Return what was held back for a stop sequence that did not come."""
        rest, self._held = self._held, ""
        return rest


class TextStream:
    """Folds the chunks of one answer into events.

    stops: what ends the answer and never shows. truncate: the number of prompt tokens that was asked for, to
    say so if the prompt was cut. think: takes reasoning out of the text.
    """

    def __init__(
        self, stops: Sequence[str] = (), *, truncate: int | None = None, think: ThinkTags | None = None
    ) -> None:
        self._think = think
        self._filter = StopFilter(stops)
        self._truncate = truncate
        self._tokens = 0
        self._finish: Finish | None = None
        self._cut = False

    @property
    def done(self) -> bool:
        """Return whether nothing more is of use: a server that did not notice a stop sequence would go on."""
        return self._finish is not None or self._filter.stopped

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        """Return the events of one chunk.

        Raises BackendError for a failure, BrokenStream for what is no chunk.
        """
        if chunk.get("error") is not None:
            raise error_from_chunk(chunk)
        token = chunk.get("token")
        if not isinstance(token, Mapping) or not isinstance(token.get("text"), str):
            raise BrokenStream("the endpoint does not speak the text generation protocol of TGI")
        # `generated_text` of the last chunk repeats the whole answer.
        shown = self._token(token)
        details = chunk.get("details")
        if isinstance(details, Mapping):
            self._end(details)
        return self._events(shown)

    def feed_whole(self, body: Any) -> list[StreamEvent]:
        """Return the events of an answer that was not streamed (`best_of` cannot be)."""
        answer = body[0] if isinstance(body, list) and body else body
        if not isinstance(answer, Mapping):
            raise BrokenStream("the endpoint does not speak the text generation protocol of TGI")
        if answer.get("error") is not None:
            raise error_from_chunk(answer)
        details = answer.get("details")
        if not isinstance(details, Mapping):
            raise BrokenStream("the answer came without its details")
        shown = "".join(self._token(token) for token in details.get("tokens") or ())
        self._end(details)
        return self._events(shown)

    def end(self) -> list[StreamEvent]:
        """Return the last events. Raises BrokenStream if the server never said that it was done."""
        finish = self._finish
        if finish is None and self._filter.stopped:
            finish = Finish("stop", Usage(output=self._tokens))
        if finish is None:
            raise BrokenStream("the stream ended before the endpoint said that it was done")
        events = self._events(self._filter.end())
        if self._think is not None:
            events.extend(self._think.end())
        if self._cut:
            events.append(
                Notice("history_truncated", f"only the last {self._truncate} tokens of the prompt were used")
            )
        reason = "stop" if self._filter.stopped else finish.reason
        return [*events, Finish(reason, finish.usage)]

    def _events(self, shown: str) -> list[StreamEvent]:
        if not shown:
            return []
        return [TextDelta(shown)] if self._think is None else self._think.feed(shown)

    def _token(self, token: Mapping[str, Any]) -> str:
        self._tokens += 1
        if token.get("special"):
            return self._filter.special(token["text"])
        return self._filter.feed(token["text"])

    def _end(self, details: Mapping[str, Any]) -> None:
        reason = str(details.get("finish_reason"))
        if reason not in _REASONS:
            raise BrokenStream(f"the endpoint gave an unknown finish reason, {reason!r}")
        read = details.get("input_length")
        if read is None:  # servers before 3.0 tell only of the prompt tokens they were asked to
            read = len(details.get("prefill") or ()) or None
        self._cut = self._truncate is not None and read is not None and read >= self._truncate
        self._finish = Finish(_REASONS[reason], Usage(input=read, output=details.get("generated_tokens")))
