"""The base of the configuration's models, and what several of them check."""

from __future__ import annotations

import ipaddress

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base: unknown keys are errors, values cannot be changed, errors never repeat what was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


def networks(given: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return addresses or networks as they were given. Raise ValueError if one is none.

    what: what they are, as a person calls them.
    """
    for one in given:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            raise ValueError(f"{what} are addresses or networks, such as 10.0.0.0/8") from None
    return given
