"""The state that Gradio holds of each open page, less what nothing reads."""

from __future__ import annotations

import functools
from time import monotonic
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

_VALUES_KEPT = 3600.0  # seconds after a page was closed, as Gradio does


class LeanStateHolder(StateHolder):  # type: ignore[misc]
    """Gradio's state of each page, less what nothing but its deep links reads: a description of every
    component and all its values, 107 kB and 1.3 ms a page. A page that was closed is forgotten, at once if it
    has no values, else after the hour that Gradio keeps those for; Gradio forgets none but the oldest of
    10,000, and looks through all of them every second."""

    def __getitem__(self, session_hash: str) -> Any:
        self._closed.pop(session_hash, None)
        if session_hash not in self.session_data:
            self.session_data[session_hash] = _State(self.blocks)
        return super().__getitem__(session_hash)

    @functools.cached_property
    def _closed(self) -> dict[str, float]:
        return {}

    def close(self, session_hash: str, *, for_good: bool = False) -> None:
        """A page was closed. It may come back, unless for good: a browser that lost its connection makes a
        new one."""
        state = self.session_data.get(session_hash)
        if state is not None and state.state_data and not for_good:
            state.close()
            self._closed[session_hash] = monotonic()
        else:
            self._forget(session_hash)

    def delete_all_expired_state(self) -> None:
        """Forget what was closed an hour ago. The dict's order is that of closing."""
        while self._closed and next(iter(self._closed.values())) < monotonic() - _VALUES_KEPT:
            session_hash = next(iter(self._closed))
            del self._closed[session_hash]
            self._forget(session_hash)

    def _forget(self, session_hash: str) -> None:
        with self.lock:
            self.session_data.pop(session_hash, None)
            self.time_last_used.pop(session_hash, None)


class _State(SessionState):  # type: ignore[misc]
    """Gradio's state of one page: the values of its State components, and components that were updated."""

    def __init__(self, blocks: gr.Blocks) -> None:
        config = blocks.default_config
        self.blocks_config = type(config)(blocks)
        self.blocks_config.fns, self.blocks_config.fn_id = config.fns, config.fn_id
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.close()

    def close(self) -> None:
        """Forget the components that were updated."""
        self.blocks_config.blocks = dict(self.blocks_config.root_block.default_config.blocks)

    def __setitem__(self, key: int, value: Any) -> None:
        known = self.blocks_config.blocks
        if isinstance(known.get(key), gr.State):
            self.state_data[key] = value
        else:
            known[key] = value

    def discard(self, key: int) -> None:
        """Forget the value of a State component."""
        self.state_data.pop(key, None)

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass
