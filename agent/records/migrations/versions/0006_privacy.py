"""The audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0003"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.create_table(
        "audit_trail",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("who", sa.String(length=128), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("about", sa.String(length=128), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_trail")),
    )
    for column in ("at", "who", "what", "about"):
        op.create_index(op.f(f"ix_audit_trail_{column}"), "audit_trail", [column], unique=False)


def downgrade() -> None:
    for column in ("about", "what", "who", "at"):
        op.drop_index(op.f(f"ix_audit_trail_{column}"), table_name="audit_trail")
    op.drop_table("audit_trail")
