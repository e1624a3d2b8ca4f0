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

log = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[str, Request], Awaitable[Response]]
"""Given the owner and the request."""

_LONGEST_BODY = 2_000_000  # bytes of JSON; files have a limit of their own


class Body(BaseModel):
    """Base of what is sent to a route: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


B = TypeVar("B", bound=Body)


def endpoint(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a route. What changes something needs the header `x-chatlab`, which no page of
    another site can send along."""

    async def answered(request: Request) -> Response:
        try:
            owner = owner_of(request)
            if owner is None:
                raise AuthRequired("this browser has no id yet: open the page first, with cookies allowed")
            if request.method not in ("GET", "HEAD") and "x-chatlab" not in request.headers:
                return refused("the header x-chatlab is missing", 403)
            return await answer(owner, request)
        except NotStored as exc:
            return refused(str(exc), 404)
        except Conflict as exc:
            return refused(str(exc), 409)
        except ConfigError as exc:  # an unknown backend was named: the configuration itself is fine
            return refused(str(exc), 400)
        except InvalidRequest as exc:  # of the page's own: what an upstream refuses is part of its answer
            return refused(str(exc), 400)
        except StoreError as exc:
            status = 503 if isinstance(exc, Unreachable) else exc.http_status
            return refused(f"{exc.sentence}, incident {incident(log, exc)}", status)
        except ChatlabError as exc:
            return refused(exc.sentence, getattr(exc, "http_status", 400))

    return answered


def refused(sentence: str, status: int) -> Response:
    """Return a refusal, as every route words it."""
    return JSONResponse(Refusal(error=sentence), status_code=status)


async def body_of(request: Request, cls: type[B]) -> B:
    """Return the body of a request. Raise InvalidRequest with a sentence if it is not such a one."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _LONGEST_BODY:
            raise InvalidRequest(
                f"that is more than {_LONGEST_BODY // 1_000_000} MB of text: send less at once"
            )
    try:
        return cls.model_validate_json(bytes(content) or b"{}")
    except ValidationError as exc:
        first: Any = exc.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{where + ': ' if where else ''}{first['msg']}") from exc
