"""A look at an endpoint or at the Hub: reachable, model known, as whom. Generates nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from backends.huggingface.calls import reply_error
from backends.huggingface.options import HuggingFaceOptions
from chatlab.backend import Probe, joined_query, split_query
from chatlab.upstream import error_before_answer

_SECONDS = 10.0  # for each of at most three requests


async def look(http: Any, options: HuggingFaceOptions, token: str | None, connect_timeout: float) -> Probe:
    """Return what the upstream says of itself. http: an `httpx2.AsyncClient`. Raises BackendError."""
    # A token given for somebody else's endpoint, or a provider's own key, is shown to nobody else.
    own = token if token is not None and options.at_hugging_face and token.startswith("hf_") else None
    hub = _Asking(http, own, connect_timeout)
    identity = await hub.whoami() if own is not None else None
    if options.endpoint is not None:
        return await _endpoint(_Asking(http, token, connect_timeout), options.endpoint, identity)
    assert options.model is not None
    return await _model(hub, options.model, options.provider, identity)


async def _endpoint(asking: _Asking, endpoint: str, identity: str | None) -> Probe:
    address, query = split_query(endpoint)
    root = re.sub(r"(/v1)?(/chat/completions)?/*$", "", address)
    info = await asking.get(joined_query(f"{root}/info", query))
    if isinstance(info, Mapping) and "model_id" in info:
        said = f"{info['model_id']}, text-generation-inference {info.get('version', 'of unknown version')}"
        return Probe(True, True, identity, f"{said}, at most {info.get('max_total_tokens', '?')} tokens")
    models = await asking.get(joined_query(f"{root}/v1/models", query))
    entries = models.get("data") if isinstance(models, Mapping) else models
    if isinstance(entries, list):
        names = [str(entry.get("id")) for entry in entries if isinstance(entry, Mapping)]
        return Probe(True, bool(names), identity, ", ".join(names[:5]))
    return Probe(True, None, identity, "the endpoint answers but does not say what it serves")


async def _model(asking: _Asking, model: str, provider: str, identity: str | None) -> Probe:
    from huggingface_hub import constants

    url = f"{constants.ENDPOINT}/api/models/{quote(model)}?expand[]=inferenceProviderMapping"
    found = await asking.get(url, missing=(401, 404))  # the Hub says 401 of a model that does not exist
    if not isinstance(found, Mapping):
        return Probe(True, False, identity, f"the Hub knows no model {model}, or this token may not see it")
    providers = _providers(found.get("inferenceProviderMapping"))
    if not providers:
        return Probe(True, False, identity, f"no provider serves {model}")
    if provider != "auto" and provider not in providers:
        return Probe(True, False, identity, f"{provider} does not serve {model}; {', '.join(providers)} do")
    return Probe(True, True, identity, f"served by {', '.join(providers)}")


def _providers(mapping: Any) -> list[str]:
    if isinstance(mapping, Mapping):
        return [name for name, entry in mapping.items() if _live(entry)]
    if isinstance(mapping, list):
        return [str(entry.get("provider")) for entry in mapping if _live(entry)]
    return []


def _live(entry: Any) -> bool:
    return (
        isinstance(entry, Mapping) and entry.get("status") == "live" and entry.get("task") == "conversational"
    )


class _Asking:
    """GET requests that end soon."""

    def __init__(self, http: Any, token: str | None, connect_timeout: float) -> None:
        import httpx2

        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = httpx2.Timeout(_SECONDS, connect=min(connect_timeout, _SECONDS))

    async def get(self, url: str, missing: tuple[int, ...] = (404, 405)) -> Any:
        """Return the decoded reply, or None where there is none to be had. Raises BackendError."""
        import httpx2

        try:
            async with self._http.stream(
                "GET", url, headers=self._headers, timeout=self._timeout
            ) as response:
                if response.status_code in missing:
                    return None
                if response.status_code >= 300:
                    raise await reply_error(response)
                await response.aread()
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise error_before_answer(exc) from exc
        try:
            return response.json()
        except ValueError:
            return None

    async def whoami(self) -> str | None:
        """Return the name of the token's owner."""
        from huggingface_hub import constants

        reply = await self.get(f"{constants.ENDPOINT}/api/whoami-v2", missing=())
        name = reply.get("name") if isinstance(reply, Mapping) else None
        return name if isinstance(name, str) else None
