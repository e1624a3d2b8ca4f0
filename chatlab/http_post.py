"""A POST whose answer streams in, for less than httpx2 does it: the way of every call of the kind `openai`.

httpx2 merges, copies and decodes headers, follows redirects, signs in and keeps cookies anew for each
request, which together take as long as all that is done with a short answer. Whatever of it a call does need,
and every call through a proxy, goes httpx2's way still.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
from yarl import URL

from chatlab.backend import CallContext
from chatlab.http import direct
from chatlab.http_transport import AnswerBody
from chatlab.quick_json import as_text

_HTTPX2S_OWN = ("content-encoding", "set-cookie")  # headers of a response that httpx2 acts upon


class Post:
    """Sends JSON to one address with what a client of `chatlab.http` has: headers, proxies, cookies."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._address = httpx2.URL(url)
        self._url = URL(str(self._address), encoded=True)
        self._direct = None if self._address.userinfo else direct(client)
        always = httpx2.Request("POST", self._address, headers=client.headers, json={}).headers
        self._headers = {name: (name, value) for name, value in always.items() if name != "content-length"}

    async def __call__(
        self, value: Mapping[str, Any], headers: Mapping[str, str], ctx: CallContext
    ) -> AnswerBody | httpx2.Response:
        """Return the body of a successful response, which is to be closed, or else the response: where it is
        no success, or httpx2 went for it.

        Raises ValueError for what is no JSON, and what httpx2 raises.
        """
        body = as_text(value).encode()
        lines = self._headers.copy()
        for name, text in (*headers.items(), *ctx.headers.items()):
            lines[name.lower()] = name, text
        if self._direct is None or self._client.cookies.jar:
            return await self._by_httpx2(body, [*lines.values()], ctx)
        if ctx.sent is not None:
            ctx.sent(body)
        response = await self._direct.send(
            "POST", self._url, [*lines.values()], body, connect=ctx.connect_timeout
        )
        if response.ok and response.status < 300 and not any(map(response.headers.get, _HTTPX2S_OWN)):
            return AnswerBody(response)
        request = httpx2.Request("POST", self._address)
        whole = httpx2.Response(
            response.status, headers=response.raw_headers, stream=AnswerBody(response), request=request
        )
        self._client.cookies.extract_cookies(whole)
        return whole

    async def _by_httpx2(
        self, body: bytes, headers: list[tuple[str, str]], ctx: CallContext
    ) -> httpx2.Response:
        timeout = httpx2.Timeout(None, connect=ctx.connect_timeout).as_dict()
        lines = [(name.encode(), value.encode()) for name, value in headers]
        request = httpx2.Request(
            "POST", self._address, headers=lines, content=body, extensions={"timeout": timeout}
        )
        self._client.cookies.set_cookie_header(request)
        return await self._client.send(request, stream=True)
