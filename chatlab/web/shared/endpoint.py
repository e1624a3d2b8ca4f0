"""Endpoints of chatlab's own routes: for the owner of the request's cookie, with refusals as sentences."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.errors import AuthRequired, ChatlabError, ConfigError, InvalidRequest, StoreError
from chatlab.log import incident
from chatlab.store import Conflict, NotStored, Unreachable
from chatlab.web.shared.owner import owner_of
from chatlab.web.shared.schemas import Refusal
from chatlab.words import ENGLISH, WordedError, Words

log = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[str, Request], Awaitable[Response]]
"""Given the owner and the request."""

_LONGEST_BODY = 2_000_000  # bytes of JSON; files have a limit of their own


class NotPossible(WordedError):
    """A request that no page of chatlab's own sends."""

    http_status = 400


class Body(BaseModel):
    """Base of what is sent to a route: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


B = TypeVar("B", bound=Body)


def endpoint(answer: Answer, words: Words) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a route. What changes something needs the header `x-chatlab`, which no page of
    another site can send along. words: of the page, in which it says why it refuses."""

    async def answered(request: Request) -> Response:
        try:
            owner = owner_of(request)
            if owner is None:
                raise AuthRequired(ENGLISH("refusal.no-cookie"))
            if request.method not in ("GET", "HEAD") and "x-chatlab" not in request.headers:
                return refused(words("refusal.no-header"), 403)
            return await answer(owner, request)
        except NotStored as exc:
            return refused(words.told(exc), 404)
        except Conflict as exc:
            return refused(words.told(exc), 409)
        except ConfigError as exc:  # an unknown backend was named: the configuration itself is fine
            return refused(str(exc), 400)
        except InvalidRequest as exc:  # of the page's own: what an upstream refuses is part of its answer
            return refused(words.translated(str(exc)), 400)
        except StoreError as exc:
            status = 503 if isinstance(exc, Unreachable) else exc.http_status
            return refused(
                words("notice.incident", sentence=words.told(exc), incident=incident(log, exc)), status
            )
        except ChatlabError as exc:
            return refused(words.told(exc), exc.http_status)

    return answered


def refused(sentence: str, status: int) -> Response:
    """Return a refusal, as every route words it."""
    return JSONResponse(Refusal(error=sentence), status_code=status)


async def body_of(request: Request, cls: type[B]) -> B:
    """Return the body of a request. Raise NotPossible with a sentence if it is not such a one."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _LONGEST_BODY:
            raise NotPossible("refusal.long-body", most=_LONGEST_BODY // 1_000_000)
    try:
        return cls.model_validate_json(bytes(content) or b"{}")
    except ValidationError as exc:
        first: Any = exc.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise NotPossible("refusal.body", detail=f"{where + ': ' if where else ''}{first['msg']}") from exc
