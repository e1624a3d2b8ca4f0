"""Staying signed in: sessions that live on the server, of which the browser has nothing but an opaque id."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_urlsafe
from time import monotonic

from chatlab.config.auth import SignIn
from chatlab.identity.errors import SignInRefused
from chatlab.identity.person import Person
from chatlab.identity.sealing import Seal
from chatlab.store import now
from chatlab.store.sign_ins import SignIns, StoredSignIn

LOOKED_AT_EVERY = 10.0
"""Seconds after which a session is looked up again: for so long it may outlive its end on another server."""

_NOTED_EVERY = timedelta(minutes=1)  # how exactly it is known when a session was last used
_REMEMBERED = 10_000  # sessions
_ENDED_FOR = 60.0  # seconds, longer than any look into the database takes


@dataclass(eq=False, slots=True)
class Session:
    """Somebody who is signed in, in one browser.

    looked_at, asked_for: when it was last looked up, and when something was last asked in it, by the
    monotonic clock. over: it has ended, and nothing more is to be told.
    """

    key: str
    person: Person
    begun: datetime
    used: datetime
    ends: datetime
    looked_at: float
    asked_for: float
    over: bool = False

    @property
    def stale(self) -> bool:
        """Return whether it has to be looked up again before anything is told to it."""
        return monotonic() - self.looked_at > LOOKED_AT_EVERY


class Sessions:
    """The sessions of a configuration's pages. Used in the event loop alone.

    rows: opens where they are stored. require_known: raises SignInRefused for somebody who could not sign in
    any more as they did. Every method may raise StoreError.
    """

    def __init__(
        self,
        config: SignIn,
        seal: Seal,
        rows: Callable[[], Awaitable[SignIns]],
        require_known: Callable[[Person], None] = lambda person: None,
    ) -> None:
        self._config = config
        self._seal = seal
        self._rows = rows
        self._require_known = require_known
        self._known: dict[str, Session] = {}
        self._ended: dict[str, float] = {}  # those that ended here of late, and when
        self._looks: dict[str, asyncio.Future[None]] = {}  # what looks again at which session just now
        self._idle = timedelta(minutes=config.idle_minutes)

    @property
    def seconds(self) -> int:
        """Return after how many seconds a session ends, whatever happens in it."""
        return int(self._config.session_hours * 3_600)

    @property
    def known(self) -> tuple[Session, ...]:
        """Return the sessions that were looked up of late."""
        return tuple(self._known.values())

    async def begin(
        self,
        person: Person,
        *,
        instead_of: str | None = None,
        tokens: Callable[[str], str | None] = lambda key: None,
    ) -> str:
        """Return the id of a new session, in place of the one that has this id. Raise SignInRefused for
        somebody whom the pages are not for.

        tokens: returns what is to be kept beside it, encrypted for its key.
        """
        person.require_allowed(self._config.allowed)
        session_id, moment = token_urlsafe(32), now()
        key, old = key_of(session_id), None if instead_of is None else key_of(instead_of)
        ends = moment + timedelta(seconds=self.seconds)
        sealed = self._seal.sealed({"key": key, "person": person.as_dict()})
        row = StoredSignIn(key, person.owner, person.name, sealed, moment, moment, ends, tokens(key))
        rows = await self._rows()
        await rows.prune(ended_before=moment, unused_since=moment - self._idle)
        await rows.add(row, instead_of=old)
        if old is not None:
            self._forget(old)
        return session_id

    async def find(self, session_id: str) -> Session | None:
        """Return the session that has this id; None if there is none, or it has ended."""
        key = key_of(session_id)
        known = self._known.get(key)
        if known is None:
            known = await self._looked_up(key)
        elif known.stale:
            await self._look_again(known)
        if known is None or not await self._goes_on(known):
            self._forget(key)
            return None
        known.asked_for = monotonic()
        return known

    async def goes_on(self, session: Session) -> bool:
        """Return whether a session that was found has not ended meanwhile."""
        if not session.over and session.stale:
            await self._look_again(session)
            session.over = session.over or session.ends <= now()
        return not session.over

    async def end(self, session_id: str) -> Session | None:
        """End a session, and return it if there was one."""
        session, key = await self.find(session_id), key_of(session_id)
        # First of all here, for whoever looks it up while it is being removed.
        self._ended = {one: at for one, at in self._ended.items() if monotonic() - at < _ENDED_FOR}
        self._ended[key] = monotonic()
        self._forget(key)
        await (await self._rows()).end(key)
        return session

    async def _look_again(self, session: Session) -> None:
        """Look up what may have changed of a session that is known, and of all others in which something was
        asked since they were looked up: one question serves all of them."""
        if session.key not in self._looks:
            asked = (one for one in self._known.values() if one.asked_for > one.looked_at)
            due = {one.key: one for one in (session, *asked) if one.key not in self._looks}
            look = asyncio.ensure_future(self._look(due))
            look.add_done_callback(_noticed)
            self._looks |= dict.fromkeys(due, look)
        await asyncio.shield(self._looks[session.key])

    async def _look(self, due: Mapping[str, Session]) -> None:
        try:
            times = await (await self._rows()).times(list(due))
        finally:
            for key in due:
                del self._looks[key]
        for key, session in due.items():
            found = times.get(key)
            if found is None or key in self._ended:
                self._forget(key)
                session.over = True
            else:
                session.used, session.ends = max(session.used, found.used), found.ends
                session.looked_at = monotonic()

    async def _looked_up(self, key: str) -> Session | None:
        row = await (await self._rows()).get(key)
        opened = None if row is None else self._seal.opened(row.sealed)
        # A row that was sealed for another key was put there by somebody who could write, but not read.
        if row is None or opened is None or opened["key"] != key or key in self._ended:
            return None
        person = Person.from_dict(opened["person"])
        try:
            self._require_known(person)  # the configuration may have changed since
            person.require_allowed(self._config.allowed)
        except SignInRefused:
            return None
        session = Session(key, person, row.begun, row.used, row.ends, monotonic(), monotonic())
        if len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        return self._known.setdefault(key, session)

    async def _goes_on(self, session: Session) -> bool:
        moment = now()
        if session.over or session.ends <= moment or session.used + self._idle <= moment:
            return False
        if session.used + _NOTED_EVERY <= moment:
            await self._note_used(session, moment)
        return True

    async def _note_used(self, session: Session, moment: datetime) -> None:
        """Note that something was asked in a session, and in all others in which it was within the time that
        is not told apart: one statement a minute, however many people there are."""
        since = monotonic() - _NOTED_EVERY.total_seconds()
        used = {session.key: session} | {one.key: one for one in self.known if one.asked_for > since}
        for one in used.values():
            one.used = moment
        await (await self._rows()).use(list(used), moment)

    def _forget(self, key: str) -> None:
        session = self._known.pop(key, None)
        if session is not None:
            session.over = True


def _noticed(done: asyncio.Future[None]) -> None:
    """Take notice of how something ended, which nobody may be waiting for any more."""
    if not done.cancelled():
        done.exception()


def key_of(session_id: str) -> str:
    """Return the key under which a session is stored: who reads it there cannot make a cookie of it."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
