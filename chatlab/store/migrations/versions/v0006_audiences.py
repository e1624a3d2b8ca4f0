"""The column that says for whom a link is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column: what a chatlab of before writes is for whoever has it, as it is there."""
    op.add_column("shares", sa.Column("audience", sa.Text(), nullable=True))
