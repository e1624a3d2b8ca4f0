"""Everything that a backend which speaks HTTP needs besides a client: event streams, errors, the network.

Public, for the authors of backends; pure Python, imports no SDK and no HTTP library. The client that times a
call is `chatlab.http.async_client`.

    bytes of an answer    ChunkReader: decoded chunks, however they are labelled and framed
                          SseDecoder: the payloads of server-sent events, nothing more
    an error              is_error, error_from_body, sentence_of, retry_after: of a reply or a chunk
                          error_from_exception: of httpx, httpx2 and the openai SDK
                          error_from_response, error_body: of a response whose body was not read
                          with_challenge: with the scope that a reply's headers say is missing
    proxies, certificates network_problem
"""

from __future__ import annotations

from chatlab.upstream.bodies import error_body, error_from_body, is_error, retry_after, sentence_of
from chatlab.upstream.challenges import with_challenge
from chatlab.upstream.exceptions import error_before_answer, error_from_exception, error_from_response
from chatlab.upstream.network import network_problem
from chatlab.upstream.sse import DONE, ChunkReader, SseDecoder, SseEvent, decode, sse

__all__ = [
    "DONE",
    "ChunkReader",
    "SseDecoder",
    "SseEvent",
    "decode",
    "error_before_answer",
    "error_body",
    "error_from_body",
    "error_from_exception",
    "error_from_response",
    "is_error",
    "network_problem",
    "retry_after",
    "sentence_of",
    "sse",
    "with_challenge",
]
