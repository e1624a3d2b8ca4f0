"""chatlab: one YAML of chat backends; a page, a terminal, Python and an endpoint in front of them.

lab = chatlab.load("config.yaml")
async for event in lab.stream("gpt", "Hello"): ...
answer = await lab.answer("gpt", "Hello")
answer = lab.answer_blocking("gpt", "Hello")  # in a script, or a cell of a notebook

Everything that a user or the author of a backend needs is here by name: `load` and what it returns, messages
and their parts, stream events, what a backend is made of, and the errors.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from chatlab.backend import Backend as Backend
    from chatlab.backend import CallContext as CallContext
    from chatlab.backend import Capabilities as Capabilities
    from chatlab.backend import ChatRequest as ChatRequest
    from chatlab.backend import Options as Options
    from chatlab.backend import Parameter as Parameter
    from chatlab.errors import AuthenticationFailed as AuthenticationFailed
    from chatlab.errors import AuthRequired as AuthRequired
    from chatlab.errors import BackendError as BackendError
    from chatlab.errors import BrokenStream as BrokenStream
    from chatlab.errors import ChatlabError as ChatlabError
    from chatlab.errors import ConfigError as ConfigError
    from chatlab.errors import ContentFiltered as ContentFiltered
    from chatlab.errors import ContextTooLong as ContextTooLong
    from chatlab.errors import InvalidRequest as InvalidRequest
    from chatlab.errors import MissingExtra as MissingExtra
    from chatlab.errors import ModelNotFound as ModelNotFound
    from chatlab.errors import NotReady as NotReady
    from chatlab.errors import PermissionDenied as PermissionDenied
    from chatlab.errors import RateLimited as RateLimited
    from chatlab.errors import StoreError as StoreError
    from chatlab.errors import Unavailable as Unavailable
    from chatlab.errors import UnsupportedContent as UnsupportedContent
    from chatlab.formats.media import file_part as file_part
    from chatlab.lab import Answer as Answer
    from chatlab.lab import Lab as Lab
    from chatlab.lab import load as load
    from chatlab.messages import FilePart as FilePart
    from chatlab.messages import Finish as Finish
    from chatlab.messages import Message as Message
    from chatlab.messages import Notice as Notice
    from chatlab.messages import ReasoningDelta as ReasoningDelta
    from chatlab.messages import ReasoningPart as ReasoningPart
    from chatlab.messages import StreamEvent as StreamEvent
    from chatlab.messages import TextDelta as TextDelta
    from chatlab.messages import TextPart as TextPart
    from chatlab.messages import Timing as Timing
    from chatlab.messages import ToolCall as ToolCall
    from chatlab.messages import ToolResult as ToolResult
    from chatlab.messages import Usage as Usage

_MODULES = {
    "lab": "load Lab Answer",
    "formats.media": "file_part",
    "messages": "Message TextPart ReasoningPart FilePart StreamEvent TextDelta "
    "ReasoningDelta ToolCall ToolResult Notice Finish Usage Timing",
    "backend": "Backend Options Capabilities Parameter ChatRequest CallContext",
    "errors": "ChatlabError ConfigError MissingExtra NotReady UnsupportedContent StoreError AuthRequired "
    "BackendError AuthenticationFailed PermissionDenied RateLimited InvalidRequest ContextTooLong "
    "ModelNotFound ContentFiltered Unavailable BrokenStream",
}
_MODULE = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = ["__version__", *_MODULE]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # Looked up when asked for, so that `import chatlab` (and `chatlab --help`) stays cheap.
    if name not in _MODULE:
        raise AttributeError(f"module 'chatlab' has no attribute {name!r}")
    return getattr(import_module(f"chatlab.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
