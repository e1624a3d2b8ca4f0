"""The steps from one version of the tables to the next, and what differs from them: by Alembic, which is
imported only where one of both is wanted."""

from __future__ import annotations

from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from chatlab.store.schema import metadata

_SEARCH_INDEX = ("documents_words", "ix_documents_words")  # of each database's own kind, not in the metadata


def migrate(connection: Connection, to: str = "head") -> None:
    """Take the steps from the version that a database has, or from nothing."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def differences(connection: Connection) -> list[Any]:
    """Return what Alembic would change to make the tables those of `chatlab.store.schema`."""

    def ours(name: str | None, kind: str, _: object) -> bool:
        return name is None or not (kind in ("table", "index") and name.startswith(_SEARCH_INDEX))

    context = MigrationContext.configure(
        connection, opts={"target_metadata": metadata, "include_name": ours, "compare_type": True}
    )
    return list(compare_metadata(context, metadata))


def alembic_config() -> Config:
    """Return where Alembic finds the steps."""
    config = Config()
    config.set_main_option("script_location", "chatlab.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
