"""Proxies and certificate authorities, as the environment and a backend's options name them.

What is wrong with them is said in a sentence that names the variable, before any library trips over it.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PORT = re.compile(r"^[^:]*(?::\d*)?$|^[0-9a-fA-F:.]*$")  # a host with or without a port, or an IPv6 address
_SCHEMES = ("http", "https", "socks5", "socks5h")
# Read in this order: httpx's own variables, then those of requests and curl, so that one setting is enough.
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_EITHER = {"SSL_CERT_FILE": "SSL_CERT_DIR", "SSL_CERT_DIR": "SSL_CERT_FILE"}


def network_problem(ca_bundle: Path | None = None) -> str | None:
    """Return what to do before anything can be called over this network, or None. Calls nothing.

    ca_bundle: a backend's own file of certificate authorities, which replaces those of the environment.
    """
    for name, value in _proxies():
        problem = _proxy_problem(value)
        if problem is not None:
            return f"{name}: {problem}"
    try:
        certificates(ca_bundle)
    except LookupError as exc:
        return str(exc.args[0])
    return None


def certificates(ca_bundle: Path | None = None) -> ssl.SSLContext | None:
    """Return the authorities to trust; None where nothing names any, so that the library's own are taken.

    Raises LookupError with a sentence for a file or folder that cannot be used.
    """
    name, where = authorities(ca_bundle)
    if where is None:
        return None
    what = "folder" if name == "SSL_CERT_DIR" else "file"
    if not where.exists():
        raise LookupError(f"{name}: there is no such {what} as {where}")
    if name in _EITHER and where.is_dir() == (what == "file"):  # OpenSSL would find nothing there
        raise LookupError(f"{name}: {where} is no {what}: name it in {_EITHER[name]}")
    try:
        return _context(where, where.stat().st_mtime_ns)
    except (OSError, ssl.SSLError) as exc:
        raise LookupError(f"{name}: {where} holds no certificates that can be read, in PEM form") from exc


@lru_cache(maxsize=16)
def _context(where: Path, _changed: int) -> ssl.SSLContext:
    """Return the context for a file or folder as it is now.

    Read once for each state of it: reading a system's certificates takes tens of milliseconds, and readiness
    is asked often.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if where.is_dir():
        context.load_verify_locations(capath=where)
    else:
        context.load_verify_locations(cafile=where)
    return context


def authorities(ca_bundle: Path | None = None) -> tuple[str, Path | None]:
    """Return the setting that names the authorities to trust, and the file or folder it names."""
    if ca_bundle is not None:
        return "ca_bundle", ca_bundle
    for name in _CERTIFICATES:
        if value := os.environ.get(name):
            return name, Path(value)
    return "", None


def exempt_problem() -> str | None:
    """Return what the older httpx, which some SDKs bring, cannot read of the hosts without a proxy."""
    name = "no_proxy" if "no_proxy" in os.environ else "NO_PROXY"
    for host in map(str.strip, os.environ.get(name, "").split(",")):
        if host.startswith("[") or not _PORT.search(host.partition("://")[2] or host):
            return f"{name}: httpx cannot read {host}: write the host's name, or its address without brackets"
    return None


def _proxies() -> Iterator[tuple[str, str]]:
    exempt = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    if "*" in (host.strip() for host in exempt.split(",")):
        return
    for name in _PROXIES:
        for written in (name.lower(), name):  # as everywhere, the lower case wins
            if value := os.environ.get(written, ""):
                yield written, value
                break


def _proxy_problem(value: str) -> str | None:
    """Return what is wrong with a proxy's URL. It may hold a password, so that it is not repeated."""
    if any(letter.isspace() for letter in value):
        return "there is white space in it: write the URL of the proxy alone, or unset it"
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme in ("socks", "socks4", "socks4a"):
        return f"httpx does not know {parts.scheme}://, write socks5://"
    if parts.scheme not in ("", *_SCHEMES):
        return f"httpx does not know {parts.scheme}:// for a proxy, write http:// or socks5://"
    if not host:
        return "this is not the URL of a proxy, such as http://proxy.example.org:3128"
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        return "a SOCKS proxy needs one more package: pip install 'httpx2[socks]'"
    return None
