"""Staying signed in: sessions that live on the server, of which the browser has nothing but an opaque id."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
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
    """Somebody who is signed in, in one browser. over: it has ended, and nothing more is to be told."""

    key: str
    person: Person
    begun: datetime
    used: datetime
    ends: datetime
    looked_at: float
    over: bool = False


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
        if known is None or monotonic() - known.looked_at > LOOKED_AT_EVERY:
            known = await self._looked_up(key, known)
        if known is None or not await self._goes_on(known):
            self._forget(key)
            return None
        return known

    async def goes_on(self, session: Session) -> bool:
        """Return whether a session that was found has not ended meanwhile."""
        if session.over or monotonic() - session.looked_at <= LOOKED_AT_EVERY:
            return not session.over
        found = await self._looked_up(session.key, session)
        if found is None or found.ends <= now():
            self._forget(session.key)
            session.over = True
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

    async def _looked_up(self, key: str, known: Session | None) -> Session | None:
        row = await (await self._rows()).get(key)
        opened = None if row is None else self._seal.opened(row.sealed)
        # A row that was sealed for another key was put there by somebody who could write, but not read.
        if row is None or opened is None or opened["key"] != key or key in self._ended:
            return None
        person = Person.from_dict(opened["person"])
        if known is not None and known.person == person:
            known.used, known.ends, known.looked_at = max(known.used, row.used), row.ends, monotonic()
            return known
        try:
            self._require_known(person)  # the configuration may have changed since
            person.require_allowed(self._config.allowed)
        except SignInRefused:
            return None
        session = Session(key, person, row.begun, row.used, row.ends, monotonic())
        if len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        return self._known.setdefault(key, session)

    async def _goes_on(self, session: Session) -> bool:
        moment = now()
        if session.over or session.ends <= moment or session.used + self._idle <= moment:
            return False
        if session.used + _NOTED_EVERY <= moment:
            session.used = moment
            await (await self._rows()).use(session.key, moment)
        return True

    def _forget(self, key: str) -> None:
        session = self._known.pop(key, None)
        if session is not None:
            session.over = True


def key_of(session_id: str) -> str:
    """Return the key under which a session is stored: who reads it there cannot make a cookie of it."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
