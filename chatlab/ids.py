"""Identifiers as types of their own, so that a lane's is never taken for a turn's.

Text becomes one where it comes in: at a route, on the command line, from a row or a file.
Each is opaque text drawn at random (`chatlab.store.new_id`); only the rounds of a run of many prompts have
names that say something, such as `3.1`.
"""

from __future__ import annotations

from typing import NewType

LaneId = NewType("LaneId", str)
"""One column of a comparison."""

RoundId = NewType("RoundId", str)
"""One message of a comparison, and all that answers it."""

TurnId = NewType("TurnId", str)
"""One message and one answer to it."""

ConversationId = NewType("ConversationId", str)
"""A tree of turns: a chat, or all that one lane was asked."""
