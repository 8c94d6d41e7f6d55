"""Scores of calls, what people say of them, and what was fitted to that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.create_table(
        "quality_scores",
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("rubric", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=16), nullable=False),
        sa.Column("domain", sa.String(length=128), nullable=False),
        sa.Column("topic", sa.String(length=128), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=True),
        sa.Column("calibrated", sa.Float(precision=53), nullable=True),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("anger", sa.Float(precision=53), nullable=False),
        sa.Column("emotion", sa.String(length=32), nullable=False),
        sa.Column("contained", sa.Boolean(), nullable=False),
        sa.Column("transferred", sa.String(length=128), nullable=True),
        sa.Column("silence", sa.Float(precision=53), nullable=False),
        sa.Column("human_ms", sa.Float(precision=53), nullable=False),
        sa.Column("satisfaction", sa.Float(precision=53), nullable=True),
        sa.Column("surveyed", sa.Boolean(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("scored_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_quality_scores_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_quality_scores")),
    )
    op.create_index(op.f("ix_quality_scores_score"), "quality_scores", ["score"], unique=False)
    op.create_index(op.f("ix_quality_scores_topic"), "quality_scores", ["topic"], unique=False)
    op.create_table(
        "quality_ratings",
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("rater", sa.String(length=128), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("rated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_quality_ratings_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "rater", name=op.f("pk_quality_ratings")),
    )
    op.create_table(
        "quality_fits",
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("fitted_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_quality_fits")),
    )


def downgrade() -> None:
    op.drop_table("quality_fits")
    op.drop_table("quality_ratings")
    op.drop_index(op.f("ix_quality_scores_topic"), table_name="quality_scores")
    op.drop_index(op.f("ix_quality_scores_score"), table_name="quality_scores")
    op.drop_table("quality_scores")
