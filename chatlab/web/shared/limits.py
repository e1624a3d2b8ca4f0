"""Limits that hold for a visitor, for a network address, and for everybody: one visitor cannot stop the
others.

    limits = limits_of(lab)
    visitor = limits.visitor(request)
    async with limits.turn(visitor): ...                # refused at once if there is no room

    await limits.charge(visitor, turns=12)              # a whole round: all of it, or a refusal
    async with limits.turn(visitor, charged=True, wait=True): ...   # each of its turns, when there is room

Whoever asks is counted under a lock, so that requests that come together cannot all find the same room; what
several servers of one database count together, in one transaction of the database. (The library `limits`
counts each scope by itself: one that is refused by the last scope has already used up the others.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from chatlab.config.models import Config
from chatlab.errors import StoreError
from chatlab.lab import Lab
from chatlab.store.allowances import Part
from chatlab.web.shared.allowances import SharedAllowances
from chatlab.web.shared.amounts import SUBJECT, Amounts, Rate, Scope
from chatlab.web.shared.amounts import LimitReached as LimitReached
from chatlab.web.shared.amounts import Visitor as Visitor
from chatlab.web.shared.client_address import client_address, trusted_networks
from chatlab.web.shared.owner import owner_of
from chatlab.web.shared.spent import DaySpending

_SPENT = (
    "refusal.tokens-a-day",
    "refusal.cost-a-day",
)
_LOOK_AGAIN = 0.5  # seconds after which who waits looks whether another server gave a place back


_Result = TypeVar("_Result")


class AboutToStop(LimitReached):
    """The server ends soon: what runs may end, and nothing begins."""

    http_status = 503

    def __init__(self) -> None:
        super().__init__("refusal.restart")


class Held:
    """Something that counts until it is released; once is enough, twice does no harm."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give it back."""
        release, self._release = self._release, None
        if release is not None:
            release()

    @contextmanager
    def released_on_failure(self) -> Iterator[None]:
        """Give it back if what follows raises."""
        try:
            yield
        except BaseException:
            self.release()
            raise

    async def given_to(self, work: Awaitable[_Result]) -> _Result:
        """Return what work comes to that gives the place back in the end; if it raises, that is done here."""
        with self.released_on_failure():
            return await work


class VisitorLimits:
    """The limits of one app. Any thread may ask; who waits does so in the app's event loop."""

    def __init__(self, config: Config) -> None:
        limits, concurrency = config.limits, config.server.concurrency
        self._running = Amounts(
            {**_scopes(limits.running_turns), "total": limits.running_turns.total or concurrency},
            "refusal.running",
        )
        self._at_once = _scopes(limits.running_turns)  # on all servers; one alone runs no more than it can
        self._turns = Rate(
            "turns",
            _scopes(limits.turns_a_minute),
            "refusal.turns",
        )
        self._sign_ins = Rate(
            "sign-ins",
            _scopes(limits.sign_ins_a_minute),
            "refusal.sign-ins",
        )
        passwords = limits.passwords_a_minute
        self._passwords = Rate(
            "passwords",
            {**_scopes(passwords), "visitor": passwords.person},
            "refusal.passwords",
        )
        self._a_day = (_scopes(limits.tokens_a_day), _scopes(limits.cost_a_day))
        self.spending = DaySpending()
        self._uploads = Amounts(
            _scopes(limits.uploads),
            "refusal.uploads",
        )
        self._upload_mb = Amounts(
            _scopes(limits.uploads_mb),
            "refusal.uploads-mb",
        )
        self._sessions = Amounts(
            _scopes(limits.sessions),
            "refusal.sessions",
        )
        self._reports = Amounts(
            _scopes(limits.reports),
            "refusal.reports",
        )
        self._trusted = trusted_networks(config.server.trusted_proxies)
        self._lock = threading.Lock()
        self._waiting: list[_Waiter] = []
        self.shared: SharedAllowances | None = None
        """What holds for all servers of a database: of what begins within a minute, and of running turns."""
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
        return Visitor(owner_of(request), client_address(peer, forwarded, self._trusted))

    async def charge(self, visitor: Visitor, turns: int = 1) -> None:
        """Count turns that are about to begin against the turns a minute. Raise LimitReached for none or
        all."""
        self._check_open()
        self._check_spent(visitor)
        await self._take(self._turns, visitor, turns)

    async def charge_sign_in(self, visitor: Visitor) -> None:
        """Count a step of a sign-in. Raise LimitReached."""
        await self._take(self._sign_ins, visitor, 1)

    async def charge_password(self, name: str, visitor: Visitor) -> None:
        """Count a password that a visitor tries for somebody's name, whoever has it. Raise LimitReached."""
        await self._take(self._passwords, Visitor(name, visitor.address), 1)

    async def begin(self, visitor: Visitor, *, charged: bool = False) -> Held:
        """Return the place of one running turn, which is counted as begun unless it was `charged` before; to
        be released at its end. Raise LimitReached at once."""
        place = self.take_turn(visitor)
        with place.released_on_failure():
            if not charged:
                self._check_spent(visitor)
            return self._also(place, await self._take(self._turns, visitor, 0 if charged else 1, places=1))

    def take_turn(self, visitor: Visitor) -> Held:
        """Return the place of one turn that was charged and runs on this server, to be released at its end.
        Raise LimitReached at once."""
        self._check_open()
        with self._lock:
            self._running.check(visitor, 1)
            self._running.add(visitor, 1)
        return Held(lambda: self._turn_ended(visitor))

    @asynccontextmanager
    async def turn(
        self, visitor: Visitor, *, charged: bool = False, wait: bool = False
    ) -> AsyncIterator[None]:
        """Hold the place of one running turn. Raise LimitReached if there is none, unless `wait`: then wait
        for one, in the order of asking."""
        if wait and not charged:
            await self.charge(visitor)
        place = await (self._next_turn(visitor) if wait else self.begin(visitor, charged=charged))
        try:
            yield
        finally:
            place.release()

    async def _take(self, rate: Rate, visitor: Visitor, amount: float, *, places: int = 0) -> Sequence[Part]:
        """Take so much of a rate, and running turns' places, on all servers together; return what is to be
        given back. Raise LimitReached.

        While the database is away each server counts for itself: how many run, it does so anyway.
        """
        if self.shared is not None:
            at_once = self._at_once if places else {}
            limited = [one for one in visitor.counts_in() if rate.most[one[0]] or at_once.get(one[0])]
            parts = [
                Part(_hash(rate.name, *one), amount, rate.most[one[0]], places, at_once.get(one[0]))
                for one in limited
            ]
            with suppress(StoreError):
                exceeded = await self.shared.take(parts) if parts else None
                if exceeded is None:
                    return parts
                scope = limited[parts.index(exceeded.part)][0]
                if exceeded.at_once:
                    raise self._running.refused(scope, self._at_once)
                raise rate.refused(scope)
        with self._lock:
            rate.take(visitor, amount)
        return ()

    def _also(self, place: Held, parts: Sequence[Part]) -> Held:
        """Return a place that is held here, and on all servers together."""
        shared = self.shared
        if shared is None or not parts:
            return place

        def release() -> None:
            place.release()
            shared.give_back(parts)

        return Held(release)

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
                    raise LimitReached(refusal, who=SUBJECT[scope], most=f"{limit:g}")

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

    def hold_report(self, visitor: Visitor) -> Held:
        """Return the place of a report or recording, to be released once it is written. Raise
        LimitReached."""
        return self._hold(visitor, ((self._reports, 1.0),))

    def _hold(self, visitor: Visitor, amounts: Sequence[tuple[Amounts, float]]) -> Held:
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

    async def _next_turn(self, visitor: Visitor) -> Held:
        place = await self._next_here(visitor)
        with place.released_on_failure():
            while True:
                try:
                    return self._also(place, await self._take(self._turns, visitor, 0, places=1))
                except LimitReached:
                    await asyncio.sleep(_LOOK_AGAIN)

    async def _next_here(self, visitor: Visitor) -> Held:
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


def _hash(*words: str) -> str:
    """Return what a visitor is called in the database, where nobody is to be known by it."""
    return sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()


def _scopes(most: Any) -> dict[Scope, float | None]:
    return {
        "visitor": getattr(most, "visitor", None),
        "address": getattr(most, "address", None),
        "total": getattr(most, "total", None),
    }
