"""Labels of caller turns, and the model version that understood each turn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("turn", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(length=128), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("intent", sa.String(length=128), nullable=True),
        sa.Column("understood", sa.String(length=128), nullable=True),
        sa.Column("model", sa.String(length=64), nullable=True),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("labelled_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_labels_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "turn", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_domain"), "labels", ["domain"], unique=False)
    # Not in batch mode: that would make a large table anew, while adding an empty column is instant everywhere.
    op.add_column("turns", sa.Column("model", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("turns", "model")
    op.drop_index(op.f("ix_labels_domain"), table_name="labels")
    op.drop_table("labels")
