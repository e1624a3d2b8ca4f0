"""A second baseline: a chat as Chainlit's documentation shows it, each token sent as it comes.

Run by Chainlit's own environment: BENCH_UPSTREAM=URL BENCH_MODEL=MODEL chainlit run chainlit_app.py
"""

from __future__ import annotations

import os

import chainlit as cl
from openai import AsyncOpenAI

client = AsyncOpenAI(base_url=os.environ["BENCH_UPSTREAM"], api_key="none", max_retries=0)


@cl.on_message
async def respond(_: cl.Message) -> None:
    messages = cl.chat_context.to_openai()
    stream = await client.chat.completions.create(
        model=os.environ["BENCH_MODEL"], messages=messages, stream=True
    )
    answer = cl.Message(content="")
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            await answer.stream_token(chunk.choices[0].delta.content)
    await answer.update()
