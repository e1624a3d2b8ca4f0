"""The tables, as both databases have them. `chatlab/store/migrations` makes them; a test compares the two.

A row that belongs to another names it together with the owner, so that the database itself refuses a turn
in somebody else's conversation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

from chatlab.store import NotStored
from chatlab.store._exact import from_text, to_text

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Id(TypeDecorator[str]):
    """An id or an owner. One that no database could hold is nobody's."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and _UNSTORABLE.search(value):
            raise NotStored("refusal.no-thing")
        return value


class Legible(TypeDecorator[str]):
    """Text to be read, not stored to the letter: what a database refuses is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _UNSTORABLE.sub("\ufffd", value)


class Exact(TypeDecorator[Any]):
    """A JSON value, stored to the letter."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return to_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else from_text(value)


class _SqliteTime(sqlite.DATETIME):
    """A time in UTC as SQLAlchemy writes it for SQLite, its zone left out, for a part of what that takes."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:
        return _written


def _written(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(" ", "microseconds")[: -len("+00:00")]


_SQLITE_TIME: TypeEngine[Any] = _SqliteTime()  # type: ignore[no-untyped-call]


class Moment(TypeDecorator[datetime]):
    """A time with its zone; in UTC, to the microsecond."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_SQLITE_TIME if dialect.name == "sqlite" else self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time has a zone")
        return value if value.tzinfo is UTC else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""The versions that the tables have had, the newest last: the steps of `chatlab/store/migrations`."""

alembic_version = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))
"""The version that a database has: Alembic's own table, with one row."""

# PostgreSQL's indexes have these conditions, too: the first of the migrations says so. Alembic compares none,
# and to name them for PostgreSQL here would import its dialect wherever SQLite is used.
_LISTED = text("deleted IS NULL AND comparison IS NULL")
_RUNNING = text("status = 'running'")

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("title", Legible, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("deleted", Moment),
    Column("entries", Integer, nullable=False),  # the last seq of its log
    UniqueConstraint("owner", "id"),
    Index(None, "owner", "created", "id"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("title", Legible, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("deleted", Moment),
    Column("pinned", Boolean, nullable=False),
    Column("head", Id),
    Column("comparison", Id),
    UniqueConstraint("owner", "id"),
    ForeignKeyConstraint(
        ["owner", "comparison"], ["comparisons.owner", "comparisons.id"], ondelete="CASCADE"
    ),
    Index(
        "ix_conversations_recent",
        *("owner", "pinned", "updated", "id"),
        sqlite_where=_LISTED,
    ),
    Index(None, "comparison"),
)

# `asked` never changes once the answer has begun, `answered` grows with it; each is one JSON object, of which
# `_turn_rows.py` makes the text itself, since that can take too long for a transaction.
turns = Table(
    "turns",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("conversation", Id, nullable=False),
    Column("parent", Id),
    Column("created", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("server", Text),  # which one runs it, while it is running
    Column("asked", Text, nullable=False),
    Column("answered", Text, nullable=False),
    UniqueConstraint("owner", "id"),
    UniqueConstraint("conversation", "id"),
    ForeignKeyConstraint(
        ["owner", "conversation"], ["conversations.owner", "conversations.id"], ondelete="CASCADE"
    ),
    # Checked at the end, so that a batch may have a turn before its parent, and a tree go at once.
    ForeignKeyConstraint(
        ["conversation", "parent"],
        ["turns.conversation", "turns.id"],
        deferrable=True,
        initially="DEFERRED",
    ),
    Index(None, "owner", "conversation"),
    Index(None, "conversation", "parent"),
    Index("ix_turns_running", "server", sqlite_where=_RUNNING),
)

# What a search looks through: one row for each title, and one for each turn. See `_search.py`.
documents = Table(
    "documents",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("owner", Id, nullable=False),
    Column("conversation", Id, nullable=False),
    Column("turn", Id),
    Column("words", Text, nullable=False),
    ForeignKeyConstraint(
        ["owner", "conversation"], ["conversations.owner", "conversations.id"], ondelete="CASCADE"
    ),
    Index(None, "owner", "conversation"),
    Index(None, "turn", unique=True),
)

attachments = Table(
    "attachments",
    metadata,
    Column("turn", Id, primary_key=True),
    Column("sha256", Legible, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("media_type", Legible, nullable=False),
    ForeignKeyConstraint(["owner", "turn"], ["turns.owner", "turns.id"], ondelete="CASCADE"),
    Index(None, "sha256", "owner"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("turn", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("data", Exact, nullable=False),
    ForeignKeyConstraint(["owner", "turn"], ["turns.owner", "turns.id"], ondelete="CASCADE"),
)

log_entries = Table(
    "log_entries",
    metadata,
    Column("comparison", Id, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("owner", Id, nullable=False),
    Column("at", Moment, nullable=False),
    Column("data", Exact, nullable=False),
    ForeignKeyConstraint(
        ["owner", "comparison"], ["comparisons.owner", "comparisons.id"], ondelete="CASCADE"
    ),
)

shares = Table(
    "shares",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("conversation", Id),
    Column("comparison", Id),
    Column("created", Moment, nullable=False),
    Column("audience", Exact),  # a list of groups; see `chatlab.store.values.Audience`
    CheckConstraint("(conversation IS NULL) <> (comparison IS NULL)", name="one_thing"),
    ForeignKeyConstraint(
        ["owner", "conversation"], ["conversations.owner", "conversations.id"], ondelete="CASCADE"
    ),
    ForeignKeyConstraint(
        ["owner", "comparison"], ["comparisons.owner", "comparisons.id"], ondelete="CASCADE"
    ),
    Index(None, "conversation"),
    Index(None, "comparison"),
)

# The servers that run turns, so that those of a dead one can be told. See `_servers.py`.
servers = Table(
    "servers",
    metadata,
    Column("token", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("seen", Moment, nullable=False),
)

# What servers wish of turns that others of them run: that they are stopped, or only looked on at. See
# `_servers.py`.
onlookers = Table(
    "onlookers",
    metadata,
    Column("turn", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("until", Moment, nullable=False),  # until when somebody looks on
    Column("stop", Boolean, nullable=False),
    ForeignKeyConstraint(["owner", "turn"], ["turns.owner", "turns.id"], ondelete="CASCADE"),
    Index(None, "until"),
)

# The oldest version of the tables whose chatlab may use this database: one row. A newer chatlab's migration
# changes it if its tables are none that an older one could use. See `schema_state.py`.
served_since = Table("served_since", metadata, Column("version", Text, primary_key=True))

# Who is signed in: `key` is a hash of the id that the browser has, `sealed` is encrypted.
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("key", Text, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("name", Legible, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("begun", Moment, nullable=False),
    Column("used", Moment, nullable=False),
    Column("ends", Moment, nullable=False),
    Column("tokens", Text),  # encrypted
    Column("leased", Moment),  # until when one server renews them
    Index(None, "owner"),
    Index(None, "ends"),
)

# What was answered by the provider once already, until it would be too old anyway.
spent_states = Table(
    "spent_states",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("ends", Moment, nullable=False),
    Index(None, "ends"),
)

# The amounts that people spent by the hour since 1970, for limits a day.
spent = Table(
    "spent",
    metadata,
    Column("owner", Id, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("tokens", Double, nullable=False),
    Column("cost", Double, nullable=False),
    Index(None, "hour"),
)

# What visitors, addresses and everybody took of a minute's limits, and how many places each server holds for
# them at once. `key` is a hash of whose and what it is.
allowances = Table(
    "allowances",
    metadata,
    Column("key", Text, primary_key=True),
    Column("taken", Double, nullable=False),
    Column("since", Moment, nullable=False),
    Column("held", Exact, nullable=False),
    Index(None, "since"),
)
