"""OpenAI's two chat protocols on the wire, for every backend that speaks one of them.

Pure functions over decoded JSON; nothing here imports an SDK. Event streams and errors are those of
`chatlab.upstream`.

    request JSON       chat_body, responses_body; OwnOptions: what of it a server refused
    an answer          ChunkReader -> ChatStream or ResponsesStream .feed(), .end(), streamed or whole;
                       read_answer: all of it, over the bytes
"""

from __future__ import annotations

from backends._openai_wire.answer import CAME_WHOLE, NO_ANSWER
from backends._openai_wire.chat import FAILED_REASONS, ChatStream, chat_body, whole_chat
from backends._openai_wire.own_options import OwnOptions, refuses_stream
from backends._openai_wire.reading import read_answer
from backends._openai_wire.responses import (
    ResponsesStream,
    responses_body,
    told_by_agent,
    whole_responses,
)
from backends._openai_wire.think_tags import ThinkTags
from backends._openai_wire.tool_calls import ToolCalls
from backends._openai_wire.usage import usage_of
from chatlab.upstream import (
    DONE,
    ChunkReader,
    SseDecoder,
    decode,
    error_from_body,
    is_error,
    retry_after,
    sse,
)
from chatlab.upstream import error_from_exception as classify_sdk_error

__all__ = [
    "CAME_WHOLE",
    "DONE",
    "FAILED_REASONS",
    "NO_ANSWER",
    "ChatStream",
    "ChunkReader",
    "OwnOptions",
    "ResponsesStream",
    "SseDecoder",
    "ThinkTags",
    "ToolCalls",
    "chat_body",
    "classify_sdk_error",
    "decode",
    "error_from_body",
    "is_error",
    "read_answer",
    "refuses_stream",
    "responses_body",
    "retry_after",
    "sse",
    "told_by_agent",
    "usage_of",
    "whole_chat",
    "whole_responses",
]
