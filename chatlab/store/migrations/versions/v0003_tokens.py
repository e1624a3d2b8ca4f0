"""Tokens of people who are signed in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("sign_ins", sa.Column("tokens", sa.Text()))
    op.add_column("sign_ins", sa.Column("leased", sa.DateTime(timezone=True)))
