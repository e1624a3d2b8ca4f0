"""The baseline: what the tutorials show. A ChatInterface that yields the whole answer anew at every token.

It is given the concurrency that it needs; nothing else is changed. Run: plain_app.py PORT UPSTREAM MODEL
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from openai import AsyncOpenAI

client = AsyncOpenAI(base_url=sys.argv[2], api_key="none", max_retries=0)


async def respond(message: str, history: list[dict[str, object]]) -> AsyncIterator[str]:
    messages = [{"role": m["role"], "content": m["content"][0]["text"]} for m in history]  # type: ignore[index]
    messages.append({"role": "user", "content": message})
    stream = await client.chat.completions.create(model=sys.argv[3], messages=messages, stream=True)  # type: ignore[arg-type]
    text = ""
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
            yield text


demo = gr.ChatInterface(respond, concurrency_limit=None)
demo.max_threads = 400
demo.queue()
demo.launch(server_port=int(sys.argv[1]), quiet=True, ssr_mode=False)
