"""The only translation between the shapes in which others hold a conversation and `Message`.

    Gradio's history          from_gradio      to_gradio
    OpenAI Chat Completions   from_openai      to_openai
    OpenAI Responses API      from_responses   to_responses
    LangChain messages        from_langchain   to_langchain
    a text prompt                              PromptTemplate.render

What holds for all of them:

- Text is carried exactly: white space is never changed. Empty text is no part at all.
- `ReasoningPart`s are not sent on: a model's earlier thoughts are not part of the prompt of later turns.
- A shape that is not known raises `UnsupportedContent` naming the index and what was found there. Nothing is
  guessed and nothing is left out in silence.
- An answer in which an agent called tools and used their results is one assistant `Message`; in formats that
  know no such thing it becomes several messages in the same order.
"""

from __future__ import annotations

from chatlab.formats.gradio import OWN_IDS, fenced, from_gradio, to_gradio
from chatlab.formats.langchain import from_langchain, to_langchain
from chatlab.formats.openai_chat import from_openai, to_openai
from chatlab.formats.openai_responses import from_responses, to_responses
from chatlab.formats.prompt_template import NAMED_TEMPLATES, PromptTemplate
from chatlab.formats.shared import fold_system, merge_consecutive, without_tools, without_unmatched_tools

__all__ = [
    "NAMED_TEMPLATES",
    "OWN_IDS",
    "PromptTemplate",
    "fenced",
    "fold_system",
    "from_gradio",
    "from_langchain",
    "from_openai",
    "from_responses",
    "merge_consecutive",
    "to_gradio",
    "to_langchain",
    "to_openai",
    "to_responses",
    "without_tools",
    "without_unmatched_tools",
]
