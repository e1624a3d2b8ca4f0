"""The prompt templates that have a name. Each follows its model family's published format.

White space around a message is kept, also where a family's reference code strips it: the indentation of a
first line of code is meant. No template writes the beginning-of-sequence token that opens a prompt: the
server does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """A Jinja source and the texts at which an answer ends."""

    source: str
    stop: tuple[str, ...]


# The families below with one header a message need nothing but the loop; these two lines split off a leading
# system message where it stands elsewhere.
_SPLIT = r"""
{%- set system = messages[0].content if messages and messages[0].role == 'system' else '' %}
{%- set turns = messages[1:] if messages and messages[0].role == 'system' else messages %}
"""

# https://huggingface.co/HuggingFaceH4/starchat-beta: the system turn is there even when it is empty. A line
# break follows the last <|assistant|> because in training one stood between it and the answer.
_STARCHAT = (
    _SPLIT
    + r"""
{{- '<|system|>\n' + system + '<|end|>\n' }}
{%- for turn in turns %}
    {{- '<|' + turn.role + '|>\n' + turn.content + '<|end|>\n' }}
{%- endfor %}
{{- '<|assistant|>\n' }}"""
)

# https://github.com/openai/openai-python/blob/release-v0.28.0/chatml.md; Qwen, Yi, Hermes and many others.
_CHATML = r"""
{%- for turn in messages %}
    {{- '<|im_start|>' + turn.role + '\n' + turn.content + '<|im_end|>\n' }}
{%- endfor %}
{{- '<|im_start|>assistant\n' }}"""

# https://github.com/meta-llama/llama/blob/main/llama/generation.py (chat_completion)
_LLAMA2 = (
    _SPLIT
    + r"""
{%- for turn in turns %}
    {%- if turn.role == 'user' %}
        {%- if loop.previtem is defined and loop.previtem.role == 'user' %}
            {{- raise_exception('roles must alternate') }}
        {%- endif %}
        {%- set head = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' if system and loop.first else '' %}
        {{- ('' if loop.first else '<s>') + '[INST] ' + head + turn.content + ' [/INST]' }}
    {%- elif turn.role == 'assistant' %}
        {{- ' ' + turn.content + ' </s>' }}
    {%- else %}
        {{- raise_exception('a system message stands first') }}
    {%- endif %}
{%- endfor %}"""
)

# https://github.com/meta-llama/llama-models/blob/main/models/llama3/prompt_format.md
_LLAMA3 = r"""
{%- for turn in messages %}
    {{- '<|start_header_id|>' + turn.role + '<|end_header_id|>\n\n' + turn.content + '<|eot_id|>' }}
{%- endfor %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"""

# https://docs.mistral.ai/guides/tokenization (V1, 7B Instruct); it has no system message.
_MISTRAL = r"""
{%- for turn in messages %}
    {%- if turn.role == 'user' %}
        {%- if loop.previtem is defined and loop.previtem.role == 'user' %}
            {{- raise_exception('roles must alternate') }}
        {%- endif %}
        {{- '[INST] ' + turn.content + ' [/INST]' }}
    {%- elif turn.role == 'assistant' %}
        {{- ' ' + turn.content + '</s>' }}
    {%- else %}
        {{- raise_exception('there is no system message in this format') }}
    {%- endif %}
{%- endfor %}"""

# https://huggingface.co/HuggingFaceH4/zephyr-7b-beta
_ZEPHYR = r"""
{%- for turn in messages %}
    {{- '<|' + turn.role + '|>\n' + turn.content + '</s>\n' }}
{%- endfor %}
{{- '<|assistant|>\n' }}"""

# https://github.com/tatsu-lab/stanford_alpaca#data-release; a system message replaces the first sentence.
_ALPACA = (
    _SPLIT
    + r"""
{{- system or 'Below is an instruction that describes a task. Write a response that appropriately completes '
    ~ 'the request.' }}
{%- for turn in turns %}
    {{- '\n\n### ' + ('Instruction' if turn.role == 'user' else 'Response') + ':\n' + turn.content }}
{%- endfor %}
{{- '\n\n### Response:\n' }}"""
)

# For a base model, trained on no format at all: it writes the space after the colon itself.
_PLAIN = (
    _SPLIT
    + r"""
{{- system + '\n\n' if system else '' }}
{%- for turn in turns %}
    {%- if turn.role == 'user' %}
        {{- 'User: ' + turn.content + '\n' }}
    {%- else %}
        {{- 'Assistant:' + ('' if turn.content.startswith(' ') else ' ') + turn.content + '\n' }}
    {%- endif %}
{%- endfor %}
{{- 'Assistant:' }}"""
)

NAMED_TEMPLATES = {
    "starchat": NamedTemplate(_STARCHAT, ("<|end|>",)),
    "chatml": NamedTemplate(_CHATML, ("<|im_end|>",)),
    "llama2": NamedTemplate(_LLAMA2, ("</s>",)),
    "llama3": NamedTemplate(_LLAMA3, ("<|eot_id|>",)),
    "mistral": NamedTemplate(_MISTRAL, ("</s>",)),
    "zephyr": NamedTemplate(_ZEPHYR, ("</s>",)),
    "alpaca": NamedTemplate(_ALPACA, ("\n### Instruction:",)),
    "plain": NamedTemplate(_PLAIN, ("\nUser:",)),
}
