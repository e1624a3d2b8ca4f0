"""Checks that a server can listen where it is told to, before the page is imported, which takes long."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import click

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def refuse_taken_address(host: str, port: int) -> None:
    """Raises ClickException where nothing could listen, saying why and what to do."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise click.ClickException(_elsewhere(host)) from None
    failures = [failure for address in addresses if (failure := _failure(*address)) is not None]
    away = [failure for failure in failures if failure.errno in _NOT_HERE]
    serious = [failure for failure in failures if failure not in away]
    if serious:
        raise click.ClickException(_sentence(serious[0], host, port)) from serious[0]
    if away and len(away) == len(addresses):  # a name may have an IPv6 address where there is no IPv6
        raise click.ClickException(_elsewhere(host)) from away[0]


def _failure(family: int, kind: int, protocol: int, _name: str, address: Any) -> OSError | None:
    try:
        with socket.socket(family, kind, protocol) as trial:
            if os.name == "posix":  # as servers do: a port that a server has just left may be taken again
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as exc:
        return exc
    return None


def _sentence(exc: OSError, host: str, port: int) -> str:
    match exc.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is taken: end what listens there, or give another --port (0: any)"
        case errno.EACCES:
            return f"port {port} needs more rights than this program has: give a --port above 1023"
        case _:
            return f"nothing can listen on port {port} of {host}: {exc.strerror}"


def _elsewhere(host: str) -> str:
    return f"{host} is no address of this machine: give one of its own with --host, or 0.0.0.0 for all"
