"""chatlab: one YAML of chat backends; a page, a terminal, Python and an endpoint in front of them.

lab = chatlab.load("config.yaml")
async for event in lab.stream("gpt", "Hello"): ...
answer = await lab.answer("gpt", "Hello")
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from chatlab.lab import Answer, Lab, load

__all__ = ["Answer", "Lab", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Looked up when asked for, so that `import chatlab` (and `chatlab --help`) stays cheap.
    if name in ("Answer", "Lab", "load"):
        import chatlab.lab

        return getattr(chatlab.lab, name)
    raise AttributeError(f"module 'chatlab' has no attribute {name!r}")
