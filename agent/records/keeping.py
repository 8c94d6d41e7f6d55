"""Dialogues of dropped calls in the records database, so that any server of it can go on with them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, insert, select

from agent.clock import Clock
from agent.dialogue.saving import RESUME_S
from agent.records.database import Database, OpenDialogue


class SqlKeeper:
    """Keeps states of dropped calls by caller; implements `agent.dialogue.saving.Keeper`. Old ones are deleted."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def keep(self, domain: str, caller: str, state: str) -> None:
        """Remember the state of a caller whose line dropped, in place of an earlier one."""
        now = self._clock.wall()
        async with self._database.engine.begin() as connection:
            await connection.execute(
                delete(OpenDialogue).where(
                    ((OpenDialogue.domain == domain) & (OpenDialogue.caller == caller))
                    | (OpenDialogue.kept_at < now - timedelta(seconds=RESUME_S))
                )
            )
            row = {"domain": domain, "caller": caller, "state": state, "kept_at": now}
            await connection.execute(insert(OpenDialogue).values(row))

    async def take(self, domain: str, caller: str) -> str | None:
        """The state kept within `RESUME_S`, and forget it. Of two calls at once only one gets it."""
        mine = (OpenDialogue.domain == domain) & (OpenDialogue.caller == caller)
        async with self._database.engine.begin() as connection:
            row = (await connection.execute(select(OpenDialogue.state, OpenDialogue.kept_at).where(mine))).first()
            gone = await connection.execute(delete(OpenDialogue).where(mine))
        if row is None or gone.rowcount == 0 or self._clock.wall() - row.kept_at > timedelta(seconds=RESUME_S):
            return None
        return str(row.state)
