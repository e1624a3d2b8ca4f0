"""The tables by which servers of one database reach each other, and older ones are still served."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "onlookers",
        sa.Column("turn", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stop", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("turn", name="pk_onlookers"),
        sa.ForeignKeyConstraint(
            ["owner", "turn"],
            ["turns.owner", "turns.id"],
            name="fk_onlookers_owner_turn",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_onlookers_until", "onlookers", ["until"])
    served = op.create_table(
        "served_since",
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_served_since"),
    )
    op.bulk_insert(served, [{"version": "0003"}])
