"""The line of figures under an answer."""

from __future__ import annotations

from typing import assert_never

from chatlab.store import StoredTurn


def figures(turn: StoredTurn) -> str:
    """Who answered and what it took, in one line; what is not known is left out."""
    usage = turn.finish.usage if turn.finish else None
    timing = turn.timing
    said = [
        turn.finish.model if turn.finish and turn.finish.model else "",
        f"first token {timing.first_token:.2f} s" if timing.first_token is not None else "",
        f"{timing.total:.2f} s" if timing.total is not None else "",
        f"{timing.tokens_per_second:.0f} tokens/s" if timing.tokens_per_second is not None else "",
        f"{usage.input} tokens in" if usage and usage.input is not None else "",
        f"{usage.output} tokens out" if usage and usage.output is not None else "",
        f"cost {turn.cost:.6g}" if turn.cost is not None else "",
    ]
    return " · ".join(filter(None, said))


def outcome(turn: StoredTurn) -> str | None:
    """A sentence about a turn that did not finish."""
    match turn.status:
        case "finished":
            return None
        case "failed":
            return turn.error or "This turn failed."
        case "stopped":
            return "Stopped."
        case "interrupted" | "running":
            return "Interrupted: the answer was not finished."
        case _:
            assert_never(turn.status)
