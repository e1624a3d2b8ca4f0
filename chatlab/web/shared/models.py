"""The route that tells both pages which models a backend's server lists, for `models: discover`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.errors import BackendError, ChatlabError
from chatlab.lab import Lab
from chatlab.secret import scrub
from chatlab.store import NotStored
from chatlab.web.shared.endpoint import endpoint
from chatlab.web.shared.schemas import ModelsListed
from chatlab.words import Words


def models_endpoint(lab: Lab, words: Words) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint: the models of the configured backend that the path names, and where its server
    does not tell, why, in the page's `words`. One call to a server serves everybody who asks meanwhile."""

    async def listed(_: str, request: Request) -> Response:
        name = request.path_params["name"]
        model_list = lab.backends[name].model_list if name in [*lab.backends] else None
        if model_list is None:
            raise NotStored("refusal.no-models")
        try:
            said: ModelsListed = {"models": list(await model_list.names()), "problem": ""}
        except ChatlabError as exc:
            problem = exc.detail if isinstance(exc, BackendError) else exc.sentence
            said = {"models": [], "problem": scrub(words.translated(problem))}
        return JSONResponse(said)

    return endpoint(listed, words)
