"""The network address of whoever asks, past the proxies that are trusted."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


def trusted_networks(trusted: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of trusted proxies. A Space's are in private ones."""
    private = _PRIVATE if os.environ.get("SYSTEM") == "spaces" else ()
    return tuple(ipaddress.ip_network(one, strict=False) for one in (*trusted, *private))


@lru_cache(4_096)
def client_address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """Return the address of a client: the last one that no trusted proxy has; of IPv6, its /64 network.

    forwarded: the header `X-Forwarded-For`, to which each proxy appends who asked it.
    """
    hops = [peer, *reversed([hop.strip() for hop in forwarded.split(",")])]
    client = peer
    for hop in hops:
        try:
            client_ip = ipaddress.ip_address(hop)
        except ValueError:  # nonsense, which only the client itself can have sent
            break
        client = str(ipaddress.ip_network((client_ip, 64), strict=False)) if client_ip.version == 6 else hop
        if not any(client_ip in network for network in trusted):
            break
    return client
