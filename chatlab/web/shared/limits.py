"""Limits that hold for a visitor, for a network address, and for everybody: one visitor cannot stop the
others.

    limits = limits_of(lab)
    visitor = limits.visitor(request)
    async with limits.turn(visitor): ...                # refused at once if there is no room

    limits.charge(visitor, turns=12)                    # a whole round: all of it, or a refusal
    async with limits.turn(visitor, charged=True, wait=True): ...   # each of its turns, when there is room

Whoever asks is counted before anything is awaited, under a lock, so that requests that come together cannot
all find the same room. (The library `limits` counts each scope by itself: one that is refused by the last
scope has already used up the others.)
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

from chatlab.config.models import Config
from chatlab.errors import ChatlabError
from chatlab.lab import Lab
from chatlab.web.shared.owner import owner_of
from chatlab.web.shared.spent import DaySpending

Scope: TypeAlias = Literal["visitor", "address", "total"]

_SUBJECT: dict[Scope, str] = {
    "visitor": "one visitor",
    "address": "all visitors of your network address together",
    "total": "all visitors together",
}
_SPENT = (
    "{who} may take {most} tokens a day, and these are used up: go on tomorrow",
    "{who} may spend {most} a day, and that is spent: go on tomorrow",
)
_BUCKETS = 50_000  # keys of a rate, of which the full ones are forgotten first


class LimitReached(ChatlabError):
    """A visitor, an address or everybody together asks for more than is allowed."""

    http_status = 429


class AboutToStop(LimitReached):
    """The server ends soon: what runs may end, and nothing begins."""

    http_status = 503

    def __init__(self) -> None:
        super().__init__("the server is about to restart: ask again in a moment")


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor: whoever asks. owner: None for a client without a cookie, who is limited by address alone."""

    owner: str | None
    address: str

    def counts_in(self) -> tuple[tuple[Scope, str], ...]:
        """Return the scopes that this visitor counts in, each with a key."""
        own: tuple[tuple[Scope, str], ...] = () if self.owner is None else (("visitor", self.owner),)
        return (*own, ("address", self.address), ("total", ""))


class Held:
    """Something that counts until it is released; once is enough, twice does no harm."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give it back."""
        release, self._release = self._release, None
        if release is not None:
            release()


class _Amounts:
    """The amounts of one thing that each visitor, each address and everybody holds."""

    def __init__(self, most: dict[Scope, float | None], refusal: str) -> None:
        self._most = most
        self._refusal = refusal
        self._held: dict[tuple[Scope, str], float] = {}

    def check(self, visitor: Visitor, amount: float) -> None:
        """Raise LimitReached if there is no room for so much more."""
        full = self._full(visitor, amount)
        if full is not None:
            raise LimitReached(self._refusal.format(who=_SUBJECT[full], most=f"{self._most[full]:g}"))

    def has_room(self, visitor: Visitor, amount: float) -> bool:
        """Return whether there is room for so much more."""
        return self._full(visitor, amount) is None

    def _full(self, visitor: Visitor, amount: float) -> Scope | None:
        for scope, key in visitor.counts_in():
            most = self._most[scope]
            if most is not None and self._held.get((scope, key), 0) + amount > most:
                return scope
        return None

    def add(self, visitor: Visitor, amount: float) -> None:
        """Count so much more, or less."""
        for key in visitor.counts_in():
            held = self._held.get(key, 0) + amount
            if held > 0:
                self._held[key] = held
            else:
                self._held.pop(key, None)


class _Rate:
    """The rates at which each visitor, each address and everybody begins something: buckets that fill within
    a minute."""

    def __init__(self, most: dict[Scope, float | None], refusal: str) -> None:
        self._most = most
        self._refusal = refusal
        self._left: dict[tuple[Scope, str], tuple[float, float]] = {}  # what is left, and when that was so

    def take(self, visitor: Visitor, amount: float) -> None:
        """Take so much, of every bucket or of none. Raise LimitReached."""
        moment = monotonic()
        taken: dict[tuple[Scope, str], tuple[float, float]] = {}
        for key in visitor.counts_in():
            most = self._most[key[0]]
            if most is None:
                continue
            left, since = self._left.get(key, (most, moment))
            left = min(most, left + (moment - since) * most / 60)
            if amount > left:
                raise LimitReached(self._refusal.format(who=_SUBJECT[key[0]], most=f"{most:g}"))
            taken[key] = (left - amount, moment)
        self._left.update(taken)
        if len(self._left) > _BUCKETS:
            self._left = {key: one for key, one in self._left.items() if moment - one[1] < 60}


class VisitorLimits:
    """The limits of one app. Any thread may ask; who waits does so in the app's event loop."""

    def __init__(self, config: Config) -> None:
        limits, concurrency = config.limits, config.server.concurrency
        self._running = _Amounts(
            {**_scopes(limits.running_turns), "total": limits.running_turns.total or concurrency},
            "{who} may have {most} answers running at a time: wait for one to end, or stop one",
        )
        self._turns = _Rate(
            _scopes(limits.turns_a_minute),
            "{who} may begin {most} answers a minute, and this would be more: wait a little, or ask less",
        )
        self._sign_ins = _Rate(
            _scopes(limits.sign_ins_a_minute),
            "{who} may take {most} steps of signing in a minute: wait a little, then open the page again",
        )
        passwords = limits.passwords_a_minute
        self._passwords = _Rate(
            {**_scopes(passwords), "visitor": passwords.person},
            "too many passwords were tried here within a minute: wait a little, then try again",
        )
        self._a_day = (_scopes(limits.tokens_a_day), _scopes(limits.cost_a_day))
        self.spending = DaySpending()
        self._uploads = _Amounts(
            _scopes(limits.uploads),
            "{who} may have {most} uploaded files: send those that wait first, or try again tomorrow",
        )
        self._upload_mb = _Amounts(
            _scopes(limits.uploads_mb),
            "{who} may have {most} MB of uploaded files: send those that wait first, or try again tomorrow",
        )
        self._sessions = _Amounts(
            _scopes(limits.sessions),
            "{who} may have {most} sessions open: close one you no longer need first",
        )
        self._trusted = _networks(config.server.trusted_proxies)
        self._lock = threading.Lock()
        self._waiting: list[_Waiter] = []
        self.draining = False
        """Whether turns may end and none may begin."""

    def waiting(self) -> int:
        """Return how many turns wait for their place."""
        return len(self._waiting)

    def visitor(self, request: Any) -> Visitor:
        """Return who sends a request, of Starlette's or of Gradio's."""
        client = getattr(request, "client", None)
        forwarded = getattr(request, "headers", {}).get("x-forwarded-for", "")
        peer = getattr(client, "host", None) or ""
        return Visitor(owner_of(request), _address(peer, forwarded, self._trusted))

    def charge(self, visitor: Visitor, turns: int = 1) -> None:
        """Count turns that are about to begin against the turns a minute. Raise LimitReached for none or
        all."""
        self._check_open()
        with self._lock:
            self._check_spent(visitor)
            self._turns.take(visitor, turns)

    def charge_sign_in(self, visitor: Visitor) -> None:
        """Count a step of a sign-in. Raise LimitReached."""
        with self._lock:
            self._sign_ins.take(visitor, 1)

    def charge_password(self, name: str, visitor: Visitor) -> None:
        """Count a password that a visitor tries for somebody's name, whoever has it. Raise LimitReached."""
        with self._lock:
            self._passwords.take(Visitor(name, visitor.address), 1)

    def take_turn(self, visitor: Visitor, *, charged: bool = False) -> Held:
        """Return the place of one running turn, to be released at its end. Raise LimitReached at once.

        charged: it was counted by `charge` before.
        """
        self._check_open()
        with self._lock:
            self._running.check(visitor, 1)
            if not charged:
                self._check_spent(visitor)
                self._turns.take(visitor, 1)
            self._running.add(visitor, 1)
        return Held(lambda: self._turn_ended(visitor))

    @asynccontextmanager
    async def turn(
        self, visitor: Visitor, *, charged: bool = False, wait: bool = False
    ) -> AsyncIterator[None]:
        """Hold the place of one running turn. Raise LimitReached if there is none, unless `wait`: then wait
        for one, in the order of asking."""
        place = await self._next_turn(visitor, charged) if wait else self.take_turn(visitor, charged=charged)
        try:
            yield
        finally:
            place.release()

    @property
    def limits_days(self) -> bool:
        """Return whether there is a limit of tokens or of money a day."""
        return any(most is not None for scopes in self._a_day for most in scopes.values())

    def spend(self, owner: str, tokens: float, cost: float) -> None:
        """Count what one visitor's answer took. cost: in the currency of the prices."""
        if self.limits_days:
            self.spending.add(owner, tokens, cost)

    def _check_spent(self, visitor: Visitor) -> None:
        if not self.limits_days:
            return
        for scope, owner in visitor.counts_in():
            if scope == "address":
                continue
            for amount, most, refusal in zip(self.spending.of_day(owner), self._a_day, _SPENT, strict=True):
                limit = most.get(scope)
                if limit is not None and amount >= limit:
                    raise LimitReached(refusal.format(who=_SUBJECT[scope], most=f"{limit:g}"))

    def _check_open(self) -> None:
        if self.draining:
            raise AboutToStop

    def hold_upload(self, visitor: Visitor, size: int) -> Held:
        """Return an upload's count, to be released once it is sent or removed. size: bytes. Raise
        LimitReached."""
        amounts = ((self._uploads, 1.0), (self._upload_mb, size / 1_000_000))
        return self._hold(visitor, amounts)

    def hold_session(self, visitor: Visitor) -> Held:
        """Return an open session's count, to be released once it is closed. Raise LimitReached."""
        return self._hold(visitor, ((self._sessions, 1.0),))

    def _hold(self, visitor: Visitor, amounts: Sequence[tuple[_Amounts, float]]) -> Held:
        with self._lock:
            for kind, amount in amounts:
                kind.check(visitor, amount)
            for kind, amount in amounts:
                kind.add(visitor, amount)

        def release() -> None:
            with self._lock:
                for kind, amount in amounts:
                    kind.add(visitor, -amount)

        return Held(release)

    async def _next_turn(self, visitor: Visitor, charged: bool) -> Held:
        if not charged:
            self.charge(visitor)
        waiter = _Waiter(visitor, asyncio.get_running_loop().create_future())
        with self._lock:
            if self._running.has_room(visitor, 1):  # nobody who waits could have it: it was offered to them
                self._running.add(visitor, 1)
                return Held(lambda: self._turn_ended(visitor))
            self._waiting.append(waiter)
        try:
            await waiter.woken
        except asyncio.CancelledError:
            with self._lock:
                if not waiter.has_place:
                    self._waiting.remove(waiter)
            if waiter.has_place:
                self._turn_ended(visitor)
            raise
        return Held(lambda: self._turn_ended(visitor))

    def _turn_ended(self, visitor: Visitor) -> None:
        """Give a place back, and offer it to those who wait, in the order of asking."""
        with self._lock:
            self._running.add(visitor, -1)
            for waiter in tuple(self._waiting):
                if self._running.has_room(waiter.visitor, 1):
                    self._running.add(waiter.visitor, 1)
                    self._waiting.remove(waiter)
                    waiter.has_place = True
                    waiter.woken.get_loop().call_soon_threadsafe(waiter.wake)


@dataclass(slots=True, eq=False)
class _Waiter:
    """Someone who waits for the place of a turn."""

    visitor: Visitor
    woken: asyncio.Future[None]
    has_place: bool = False

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


_limits: WeakKeyDictionary[Lab, VisitorLimits] = WeakKeyDictionary()


def limits_of(lab: Lab) -> VisitorLimits:
    """Return the limits of a lab's pages: the same for all of them."""
    assert lab.config is not None
    return _limits.setdefault(lab, VisitorLimits(lab.config))


def _scopes(most: Any) -> dict[Scope, float | None]:
    return {
        "visitor": getattr(most, "visitor", None),
        "address": getattr(most, "address", None),
        "total": most.total,
    }


Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


def _networks(trusted: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of trusted proxies. A Space's are in private ones."""
    private = _PRIVATE if os.environ.get("SYSTEM") == "spaces" else ()
    return tuple(ipaddress.ip_network(one, strict=False) for one in (*trusted, *private))


@lru_cache(4_096)
def _address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
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
