"""Everything that overrides or patches Gradio, one reason each.

Written for the Gradio versions that `pyproject.toml` allows. The contract test beside this folder's tests
(`test_contract.py`) holds what is relied on here, and says which of it a new version changed; the ceiling is
lifted when it passes.

Measured figures are from sampling profiles at 20 streams of 50 tokens/s, and of turns without tokens.
"""

from __future__ import annotations

from chatlab.web.chat.gradio_patches.blocks import PatchedBlocks
from chatlab.web.chat.gradio_patches.chat_interface import PatchedChatInterface
from chatlab.web.chat.gradio_patches.events import (
    describe_once,
    queue_only_answers,
    run_on_loop,
    show_examples,
)
from chatlab.web.chat.gradio_patches.late_parts import show_late
from chatlab.web.chat.gradio_patches.named_buttons import named_buttons
from chatlab.web.chat.gradio_patches.process import patch_process, unfinished
from chatlab.web.chat.gradio_patches.shown_text import CONVERSATION

__all__ = [
    "CONVERSATION",
    "PatchedBlocks",
    "PatchedChatInterface",
    "describe_once",
    "named_buttons",
    "patch_process",
    "queue_only_answers",
    "run_on_loop",
    "show_examples",
    "show_late",
    "unfinished",
]
