"""What OpenAI's two chat protocols look like on the wire, for every backend that speaks one of them.

Pure functions over decoded JSON; nothing here imports an SDK.

    request JSON       chat_body, responses_body
    a stream           sse or SseDecoder -> decode -> ChatStream or ResponsesStream .feed(), .end()
    a whole answer     whole_chat, whole_responses
    an error           error_from_body, classify_sdk_error, retry_after
"""

from __future__ import annotations

from backends._openai_wire.chat import ChatStream, chat_body, usage_of, whole_chat
from backends._openai_wire.errors import classify_sdk_error, error_from_body, is_error, retry_after
from backends._openai_wire.responses import ResponsesStream, responses_body, whole_responses
from backends._openai_wire.sse import DONE, SseDecoder, decode, sse
from backends._openai_wire.think_tags import ThinkTags

__all__ = [
    "DONE",
    "ChatStream",
    "ResponsesStream",
    "SseDecoder",
    "ThinkTags",
    "chat_body",
    "classify_sdk_error",
    "decode",
    "error_from_body",
    "is_error",
    "responses_body",
    "retry_after",
    "sse",
    "usage_of",
    "whole_chat",
    "whole_responses",
]
