"""What callers ask for that people work off: written once per idempotency key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.calltime import now
from agent.domains.noted import put_once

LONGEST = 1000
"""Characters kept of a caller's own words."""


class Asked:
    """Columns of a request; `text` tells what it is about in plain words, `key` is the idempotency key."""

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), index=True)
    phone: Mapped[str | None] = mapped_column(String(20))
    text: Mapped[str] = mapped_column(String(LONGEST))
    created_at: Mapped[datetime]
    key: Mapped[str] = mapped_column(String(64), unique=True)


async def put_request(
    backend: Backend, table: type[Asked], context: ActionContext, kind: str, text: str, **more: Any
) -> int:
    """Record a request and give its number; the same key again gives the number it got then.

    more: the business's own columns, and `phone`.
    """
    columns = {"kind": kind, "text": text[:LONGEST], "created_at": now(context), "key": context.key, **more}
    async with backend.session() as session:
        return (await put_once(session, table(**columns), table.key == context.key)).id
