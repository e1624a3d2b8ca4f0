"""The real llama.cpp HTTP server with a model of a few megabytes, built on the spot.

The model is a table: a one-layer Llama whose attention and feed-forward weights are zero, so that the next
token depends on the last one alone. It takes any input (256 byte tokens) and answers with a known text, token
by token. All around the weights is the real thing: tokenizer, template, sampler, grammar, slots, HTTP server.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

_CONTROL, _BYTE, _NORMAL = gguf.TokenType.CONTROL, gguf.TokenType.BYTE, gguf.TokenType.NORMAL
_NEXT = 10.0
# Where a grammar forbids the answer to go on, these come next: JSON begins, and is closed soon.
_HINTS = {"<|end|>": 3.0, '"': 2.0, "{": 1.5, "}": 1.0, "]": 1.0, ":": 1.0, "<": 0.6, "\n": 0.5}

# Which answer is given: the keyword is looked for in the last user message. Plain text prompts get the
# default one, or the endless one if they end in "…".
ENDLESS = "forever"  # the answer begins again and again, until `max_tokens` or until the client leaves
TOOL = "tool"  # the first of the request's tools is called, its string arguments being the default answer
THINKING = "think"  # the answer is preceded by a thought in <think> tags
SECOND = "second"  # another text

THOUGHT = "First I consider,\nthen I answer."


def sentence(seed: int | None = None) -> str:
    """A text that nobody could have canned: white space that matters, accents, an emoji, its own number."""
    draw = random.Random(seed)
    animal = draw.choice(["llama", "vicuña", "heron", "otter", "lynx", "marmot", "Waldkäuzchen"])
    verb = draw.choice(["crossed", "painted", "measured", "inherited", "forgot", "re-tuned"])
    thing = draw.choice(["bridges", "pianos", "équations", "lighthouses", "glaciers", "maps"])
    number = draw.randrange(1000, 9999)
    return (
        f"The {animal} {verb} {number}  {thing} before noon,\n\n    indented by four; and — 🦙 — "
        f"then it rested, because even a {animal} must sleep\tsometimes."
    )


def pieces(text: str, taken: Iterable[str] = ()) -> list[str]:
    """Cuts a text into tokens, every one of them different, since each stands for its place in the text."""
    seen = set(taken)
    found: list[str] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and text[end] not in " \n\t,.;—":
            end += 1
        while text[start:end] in seen or end - start < 2:  # single characters are left to the byte tokens
            end += 1
            if end > len(text):  # the tail repeats an earlier token: glue it to the one before
                start -= len(found.pop())
                end = len(text)
                break
        seen.add(text[start:end])
        found.append(text[start:end])
        start = end
    return found


# What llama.cpp learns from the template: thoughts stand in <think>, tool calls as JSON in <tool_call>.
_TEMPLATE = """\
{%- set last = namespace(text='') -%}
{%- if tools -%}
<|system|><tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools><|end|>
{%- endif -%}
{%- for message in messages -%}
<|{{ message.role }}|>
{%- if message.reasoning_content -%}<think>{{ message.reasoning_content }}</think>{%- endif -%}
{%- if message.content is string -%}
{{ message.content }}
{%- if message.role == 'user' -%}{%- set last.text = message.content -%}{%- endif -%}
{%- elif message.content -%}
{%- for part in message.content -%}
{{ part.text }}
{%- if message.role == 'user' -%}{%- set last.text = part.text -%}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message.role == 'tool' -%}{%- set last.text = '' -%}{%- endif -%}
{%- if message.tool_calls -%}
{%- for call in message.tool_calls -%}
<tool_call>
{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
{%- endif -%}
<|end|>
{%- endfor -%}
{%- if add_generation_prompt -%}
{%- if false -%}BRANCHES{%- else -%}<|assistant|>{%- endif -%}
{%- endif -%}
"""


def _template(keywords: Iterable[str]) -> str:
    branches = "".join(f"{{%- elif '{word}' in last.text -%}}<|answer {word}|>" for word in keywords)
    return _TEMPLATE.replace("BRANCHES", branches)


@dataclass(frozen=True, slots=True)
class _Table:
    tokens: list[str]
    types: list[int]
    following: dict[int, int]  # token -> the next one


def _table(answers: Mapping[str, str], endless: str) -> _Table:
    tokens = ["<unk>", "<s>", "<|end|>"]
    types = [int(gguf.TokenType.UNKNOWN), int(_CONTROL), int(_CONTROL)]
    end = 2

    def add(token: str, kind: gguf.TokenType) -> int:
        tokens.append(token)
        types.append(int(kind))
        return len(tokens) - 1

    bytes_ = [add(f"<0x{value:02X}>", _BYTE) for value in range(256)]
    for role in ("system", "user", "tool"):
        add(f"<|{role}|>", _CONTROL)
    following: dict[int, int] = {}
    used: list[str] = []
    for keyword, text in answers.items():
        start = add(f"<|answer {keyword}|>" if keyword else "<|assistant|>", _CONTROL)
        cut = pieces(text, used)
        used += cut
        chain = [add(piece.replace(" ", "\u2581"), _NORMAL) for piece in cut]
        following |= zip([start, *chain], [*chain, chain[0] if keyword == endless else end], strict=True)
        if not keyword:  # a plain text prompt ends in some byte; so does the opening of a JSON string
            following |= dict.fromkeys(bytes_, chain[0])
        elif keyword == endless:
            following[bytes_["…".encode()[-1]]] = chain[0]
    assert len(set(tokens)) == len(tokens)  # llama.cpp would abort the whole process
    return _Table(tokens, types, following)


def write_model(path: Path, text: str, second: str, *, context: int = 4096) -> None:
    """Writes the GGUF file. `context`: the tokens it was "trained" for."""
    answers = {
        "": text,
        SECOND: second,
        THINKING: f"<think>{THOUGHT}</think>{text}",
        TOOL: "<tool_call>\n",
        ENDLESS: "".join(f" round {n} of a story that never ends;" for n in range(40)),
    }
    table = _table(answers, ENDLESS)
    size = len(table.tokens)
    width = (size + 31) // 32 * 32
    embedding = np.zeros((size, width), dtype=np.float32)
    embedding[np.arange(size), np.arange(size)] = 1.0
    output = np.zeros((size, width), dtype=np.float32)
    for token, successor in table.following.items():
        output[successor, token] = _NEXT
    for token_text, weight in _HINTS.items():
        row = table.tokens.index(token_text if len(token_text) > 1 else f"<0x{ord(token_text):02X}>")
        output[row] = np.maximum(output[row], weight)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("table")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(width // 32)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(32)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(table.tokens)
    writer.add_token_scores([0.0 if kind == _NORMAL else -1000.0 for kind in table.types])
    writer.add_token_types(table.types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(_template(keyword for keyword in answers if keyword))

    def zeros(*shape: int) -> Any:
        return np.zeros(shape, dtype=np.float32)

    ones = np.ones(width, dtype=np.float32)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("blk.0.attn_norm.weight", ones)
    writer.add_tensor("blk.0.ffn_norm.weight", ones)
    writer.add_tensor("blk.0.attn_q.weight", zeros(width, width))
    writer.add_tensor("blk.0.attn_k.weight", zeros(32, width))
    writer.add_tensor("blk.0.attn_v.weight", zeros(32, width))
    writer.add_tensor("blk.0.attn_output.weight", zeros(width, width))
    writer.add_tensor("blk.0.ffn_gate.weight", zeros(32, width))
    writer.add_tensor("blk.0.ffn_up.weight", zeros(32, width))
    writer.add_tensor("blk.0.ffn_down.weight", zeros(width, 32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaServer:
    """llama.cpp's own server, in this process, on a free port of 127.0.0.1.

    text: what the model answers; drawn anew if not given. Which answer comes is chosen by the last user
    message: one with `ENDLESS` in it is answered for ever, `THINKING` with a thought first, `SECOND` with
    `.second`, `TOOL` with a tool call if the request has tools. A tool's result is answered with `text`.
    slots, slot_context: conversations at once, and tokens (about one a byte of prompt) each may hold.
    """

    model = "table"

    def __init__(
        self,
        folder: Path,
        text: str | None = None,
        *,
        slots: int = 4,
        slot_context: int = 4096,
        verbosity: int = 0,
    ) -> None:
        import xllamacpp  # type: ignore[import-untyped]

        self.text = sentence() if text is None else text
        self.second = f"Second thoughts of the {random.randrange(1000, 9999)}th kind: {self.text[::-1]}"
        self.thought = THOUGHT
        self.slot_context = slot_context
        path = folder / "table.gguf"
        write_model(path, self.text, self.second, context=slot_context)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {self.model}
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_parallel = slots
        params.n_ctx = slots * slot_context
        params.n_batch = params.n_ubatch = 512
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.n_threads_http = 16
        params.verbosity = verbosity
        params.warmup = False
        params.use_jinja = True
        params.ctx_shift = True
        params.endpoint_slots = True
        params.endpoint_metrics = True
        self._server: Any = xllamacpp.Server(params)
        self.url: str = self._server.listening_address

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as `base_url`."""
        return f"{self.url}/v1"

    def close(self) -> None:
        """Stops the server and frees the model."""
        self._server = None

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
