"""The first schema: calls, turns, events, actions, handoffs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("gateway_call_id", sa.String(length=128), nullable=False),
        sa.Column("domain", sa.String(length=128), nullable=False),
        sa.Column("caller", sa.String(length=128), nullable=True),
        sa.Column("called", sa.String(length=128), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.String(length=128), nullable=True),
        sa.Column("duration_ms", sa.Float(precision=53), nullable=True),
        sa.Column("counters", sa.JSON(), nullable=True),
        sa.Column("recording", sa.String(length=1024), nullable=True),
        sa.Column("transcript", sa.String(length=1024), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index(op.f("ix_calls_caller"), "calls", ["caller"], unique=False)
    op.create_index(op.f("ix_calls_finished_at_owner"), "calls", ["finished_at", "owner"], unique=False)
    op.create_index(op.f("ix_calls_gateway_call_id"), "calls", ["gateway_call_id"], unique=False)
    op.create_index(op.f("ix_calls_opened_at"), "calls", ["opened_at"], unique=False)
    op.create_table(
        "handoffs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("gateway_call_id", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rule", sa.String(length=128), nullable=False),
        sa.Column("caller", sa.String(length=128), nullable=True),
        sa.Column("called", sa.String(length=128), nullable=True),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("intent", sa.String(length=128), nullable=True),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("transfer_to", sa.String(length=255), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handoffs")),
    )
    op.create_index(op.f("ix_handoffs_call_id"), "handoffs", ["call_id"], unique=False)
    op.create_index(
        op.f("ix_handoffs_state_priority_created_at"), "handoffs", ["state", "priority", "created_at"], unique=False
    )
    op.create_table(
        "actions",
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("took_ms", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_actions_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "sequence", name=op.f("pk_actions")),
    )
    op.create_index(op.f("ix_actions_idempotency_key"), "actions", ["idempotency_key"], unique=False)
    op.create_index(op.f("ix_actions_name"), "actions", ["name"], unique=False)
    op.create_table(
        "events",
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("at_ms", sa.Float(precision=53), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_events_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "sequence", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_kind"), "events", ["kind"], unique=False)
    op.create_table(
        "handoff_steps",
        sa.Column("handoff_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["handoff_id"], ["handoffs.id"], name=op.f("fk_handoff_steps_handoff_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("handoff_id", "sequence", name=op.f("pk_handoff_steps")),
    )
    op.create_table(
        "turns",
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("speaker", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("heard", sa.Text(), nullable=True),
        sa.Column("started_ms", sa.Float(precision=53), nullable=False),
        sa.Column("ended_ms", sa.Float(precision=53), nullable=False),
        sa.Column("interrupted", sa.Boolean(), nullable=False),
        sa.Column("must_hear", sa.Boolean(), nullable=False),
        sa.Column("intent", sa.String(length=128), nullable=True),
        sa.Column("confidence", sa.Float(precision=53), nullable=True),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("emotion", sa.JSON(), nullable=False),
        sa.Column("latency", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_turns_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "number", "speaker", name=op.f("pk_turns")),
    )
    op.create_index(op.f("ix_turns_intent"), "turns", ["intent"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_turns_intent"), table_name="turns")
    op.drop_table("turns")
    op.drop_table("handoff_steps")
    op.drop_index(op.f("ix_events_kind"), table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_actions_name"), table_name="actions")
    op.drop_index(op.f("ix_actions_idempotency_key"), table_name="actions")
    op.drop_table("actions")
    op.drop_index(op.f("ix_handoffs_state_priority_created_at"), table_name="handoffs")
    op.drop_index(op.f("ix_handoffs_call_id"), table_name="handoffs")
    op.drop_table("handoffs")
    op.drop_index(op.f("ix_calls_opened_at"), table_name="calls")
    op.drop_index(op.f("ix_calls_gateway_call_id"), table_name="calls")
    op.drop_index(op.f("ix_calls_finished_at_owner"), table_name="calls")
    op.drop_index(op.f("ix_calls_caller"), table_name="calls")
    op.drop_table("calls")
