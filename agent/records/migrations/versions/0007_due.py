"""When a caller is to be called back, where that was agreed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0005"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.add_column("handoffs", sa.Column("due_at", TIME, nullable=True))


def downgrade() -> None:
    op.drop_column("handoffs", "due_at")
