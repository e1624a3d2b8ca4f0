"""The tables as they were at first, and the search's index.

A migration is never changed once it was released, so nothing here is taken from `chatlab.store.schema`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.DateTime(timezone=True)),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
        sa.UniqueConstraint("owner", "id", name="uq_comparisons_owner_id"),
    )
    op.create_index("ix_comparisons_owner_created_id", "comparisons", ["owner", "created", "id"])
    op.create_table(
        "servers",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_servers"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.DateTime(timezone=True)),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("head", sa.Text()),
        sa.Column("comparison", sa.Text()),
        sa.ForeignKeyConstraint(
            ["owner", "comparison"],
            ["comparisons.owner", "comparisons.id"],
            name="fk_conversations_owner_comparison",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
        sa.UniqueConstraint("owner", "id", name="uq_conversations_owner_id"),
    )
    op.create_index("ix_conversations_comparison", "conversations", ["comparison"])
    op.create_index(
        "ix_conversations_recent",
        "conversations",
        ["owner", "pinned", "updated", "id"],
        postgresql_where=sa.text("deleted IS NULL AND comparison IS NULL"),
        sqlite_where=sa.text("deleted IS NULL AND comparison IS NULL"),
    )
    op.create_table(
        "log_entries",
        sa.Column("comparison", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "comparison"],
            ["comparisons.owner", "comparisons.id"],
            name="fk_log_entries_owner_comparison",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison", "seq", name="pk_log_entries"),
    )
    op.create_table(
        "documents",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("turn", sa.Text()),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "conversation"],
            ["conversations.owner", "conversations.id"],
            name="fk_documents_owner_conversation",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_documents"),
    )
    op.create_index("ix_documents_owner_conversation", "documents", ["owner", "conversation"])
    op.create_index("ix_documents_turn", "documents", ["turn"], unique=True)
    op.create_table(
        "shares",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text()),
        sa.Column("comparison", sa.Text()),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(conversation IS NULL) <> (comparison IS NULL)", name="ck_shares_one_thing"),
        sa.ForeignKeyConstraint(
            ["owner", "comparison"],
            ["comparisons.owner", "comparisons.id"],
            name="fk_shares_owner_comparison",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner", "conversation"],
            ["conversations.owner", "conversations.id"],
            name="fk_shares_owner_conversation",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_shares"),
    )
    op.create_index("ix_shares_comparison", "shares", ["comparison"])
    op.create_index("ix_shares_conversation", "shares", ["conversation"])
    op.create_table(
        "turns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text()),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("server", sa.Text()),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("answered", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation", "parent"],
            ["turns.conversation", "turns.id"],
            name="fk_turns_conversation_parent",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["owner", "conversation"],
            ["conversations.owner", "conversations.id"],
            name="fk_turns_owner_conversation",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sa.UniqueConstraint("conversation", "id", name="uq_turns_conversation_id"),
        sa.UniqueConstraint("owner", "id", name="uq_turns_owner_id"),
    )
    op.create_index("ix_turns_conversation_parent", "turns", ["conversation", "parent"])
    op.create_index("ix_turns_owner_conversation", "turns", ["owner", "conversation"])
    op.create_index(
        "ix_turns_running",
        "turns",
        ["server"],
        postgresql_where=sa.text("status = 'running'"),
        sqlite_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "attachments",
        sa.Column("turn", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "turn"],
            ["turns.owner", "turns.id"],
            name="fk_attachments_owner_turn",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("turn", "sha256", name="pk_attachments"),
    )
    op.create_index("ix_attachments_sha256_owner", "attachments", ["sha256", "owner"])
    op.create_table(
        "receipts",
        sa.Column("turn", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "turn"], ["turns.owner", "turns.id"], name="fk_receipts_owner_turn", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("turn", name="pk_receipts"),
    )

    if op.get_bind().dialect.name == "sqlite":
        _index_words_in_sqlite()
    else:
        # A word for each 2048 neighbours, so that the newest can be asked for alone; and fastupdate=off: what
        # was just written would otherwise wait in a list that every search reads whole.
        op.execute(
            "CREATE INDEX ix_documents_words ON documents USING gin"
            " (array_to_tsvector(string_to_array(words || ' n:' || (number / 2048)::text, ' ')))"
            " WITH (fastupdate = off)"
        )


def _index_words_in_sqlite() -> None:
    # The words come normalised: this tokenizer only separates them where the blanks are. Beginnings of other
    # lengths are put together for each question, which takes long for what is in most documents.
    op.execute("""
        CREATE VIRTUAL TABLE documents_words USING fts5(
            words, content='documents', content_rowid='number', detail='none', prefix='2 3 4 5 6',
            tokenize="ascii tokenchars ':'"
        )
    """)
    add = "INSERT INTO documents_words (rowid, words) VALUES (new.number, new.words);"
    take = """
        INSERT INTO documents_words (documents_words, rowid, words) VALUES ('delete', old.number, old.words);
    """
    for when, what in (
        ("INSERT", add),
        ("DELETE", take),
        ("UPDATE OF number, words", take + add),
    ):
        name = f"documents_words_{when.split()[0].lower()}"
        op.execute(f"CREATE TRIGGER {name} AFTER {when} ON documents BEGIN {what} END")
