"""The baseline of `compare.py`: lanes that are read in turn, as FastChat's arena reads them.

There it is `http_bot_all` in fastchat/serve/gradio_block_arena_named.py (later `bot_response_multi`)
over `http_bot` in gradio_web_server.py; https://github.com/lm-sys/FastChat. Written anew: what is kept is the
order of things, which is what matters here, and what is left out is everything else of that page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx2
from openai import OpenAI, OpenAIError


def read_in_turn(client: OpenAI, models: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The texts of all lanes, each time one piece of each has been waited for. models: by lane."""
    generators = {name: _one(client, model) for name, model in models.items()}
    texts = dict.fromkeys(models, "")
    while True:
        ended = True
        for name, generator in generators.items():
            try:
                texts[name] = next(generator)
                ended = False
            except StopIteration:
                pass
        yield texts
        if ended:
            return


def _one(client: OpenAI, model: str) -> Iterator[str]:
    """One lane. As there, a cursor is painted before the request is sent, and a failure becomes text, so that
    it ends no other lane."""
    yield "▌"
    text = ""
    try:
        stream = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "go"}], stream=True
        )
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                text += chunk.choices[0].delta.content
                yield text + "▌"
    except (OpenAIError, httpx2.HTTPError) as exc:
        yield f"{text}\n\n(error: {exc})"
        return
    yield text
