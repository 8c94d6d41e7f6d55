"""Dialogues that a dropped line left open, for the caller's next call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.create_table(
        "open_dialogues",
        sa.Column("domain", sa.String(length=128), nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kept_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("domain", "caller", name=op.f("pk_open_dialogues")),
    )
    op.create_index(op.f("ix_open_dialogues_kept_at"), "open_dialogues", ["kept_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_open_dialogues_kept_at"), table_name="open_dialogues")
    op.drop_table("open_dialogues")
