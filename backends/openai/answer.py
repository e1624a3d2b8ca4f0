"""One request of the kind `openai`, and the bytes of its answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

from chatlab.backend import CallContext
from chatlab.errors import ChatlabError
from chatlab.http_post import Post
from chatlab.http_transport import AnswerBody
from chatlab.upstream import error_before_answer, error_from_exception, error_from_response

log = logging.getLogger(__name__)


class AnswerBytes:
    """Sends a request when it is entered, and closes it when it is left.

    Raises BackendError, for whatever happens while the bytes are read, too.
    """

    def __init__(
        self, post: Post, body: Mapping[str, Any], headers: Mapping[str, str], ctx: CallContext
    ) -> None:
        self._post = post
        self._asked = {**body, "stream": body.get("stream", False)}, headers, ctx  # said either way
        self._response: AnswerBody | httpx2.Response | None = None
        self.pieces: AsyncIterator[bytes]
        """The bytes, as they come."""

    async def __aenter__(self) -> Self:
        try:
            response = self._response = await self._post(*self._asked)
            if isinstance(response, AnswerBody):
                self.pieces = aiter(response)
            elif response.is_success:
                self.pieces = response.aiter_bytes()
            else:
                raise await error_from_response(response)
        except BaseException as exc:
            await self.__aexit__(type(exc), exc, exc.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.aclose()
        if isinstance(exc, Exception) and not isinstance(exc, ChatlabError):
            log.debug("a call failed", exc_info=exc)
            raise (error_before_answer if self._response is None else error_from_exception)(exc) from exc

    def ended(self) -> bool:
        """Return whether nothing is left to be read, as far as that can be told without waiting."""
        return isinstance(self._response, AnswerBody) and self._response.ended
