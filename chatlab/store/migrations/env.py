"""Run by Alembic, on the connection it was given."""

from __future__ import annotations

from alembic import context

from chatlab.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: the connection's own BEGIN sees to it
)
with context.begin_transaction():
    context.run_migrations()
