"""Each parameter of Gradio's chat is set by a key, or it is said why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

import gradio as gr
import pytest
from pydantic import BaseModel

from chatlab.config.models import Config
from chatlab.web.chat.reference import CHAT_INTERFACE, CHATBOT, DOCUMENT, document, parameters_of

BOTH = [(gr.ChatInterface, CHAT_INTERFACE), (gr.Chatbot, CHATBOT)]


@pytest.mark.parametrize(("cls", "said"), BOTH)
def test_every_parameter_of_gradios_is_set_or_has_its_reason(cls: type, said: Mapping[str, str]) -> None:
    new = set(parameters_of(cls)) - set(said)
    assert not new, f"new in Gradio {gr.__version__}: say in chatlab/web/chat/reference.py what sets {new}"
    for how in said.values():
        assert how.startswith(("`ui.", "`server.", "fixed", "not applicable")), how


def test_the_keys_that_are_named_are_keys_of_the_configuration() -> None:
    for how in (*CHAT_INTERFACE.values(), *CHATBOT.values()):
        for key in re.findall(r"`((?:ui|server)\.[^`]+)`", how):
            assert exists(Config, key.replace("[]", "").split(".")), key


def exists(model: Any, path: list[str]) -> bool:
    for name in path:
        inner = [one for one in kinds(model) if isinstance(one, type) and issubclass(one, BaseModel)]
        if not inner:  # a mapping, whose keys are choices
            return name in {choice for one in kinds(model) for choice in get_args(one)}
        if name not in inner[0].model_fields:
            return False
        model = inner[0].model_fields[name].annotation
    return True


def kinds(annotation: Any) -> list[Any]:
    """An annotation and all that it is made of."""
    return [annotation, *(kind for one in get_args(annotation) for kind in kinds(one))]


def test_the_document_is_what_is_written() -> None:
    hint = "python -m chatlab.web.chat.reference writes it anew"
    assert DOCUMENT.read_text("utf-8") == document(), hint
