"""The desk: queues handoffs in the database, asks the webhook, and says what to do with the caller."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.clock import Clock
from agent.dialogue.contracts import HandoffOutcome
from agent.handoff.contracts import HandoffRequest, HandoffResult
from agent.handoff.hooks.telling import Teller
from agent.handoff.machine import WAITING, HandoffState, IllegalMove, move
from agent.handoff.webhook import Webhook, WebhookError
from agent.records.database import Database, Handoff, HandoffStep
from agent.records.redaction import redact, redact_json
from agent.records.rows import fit

log = logging.getLogger(__name__)

REMEMBERED = 1000
"""Results kept in memory that the database did not take, so that one handoff_id has one result; oldest go first."""
_S = HandoffState
FINISHED: Mapping[str, Sequence[HandoffState]] = {
    "bridged": [_S.BRIDGED],
    "transfer_failed": [_S.UNAVAILABLE, _S.CALLBACK],
    "handed_back": [_S.HANDED_BACK],
    "ended": [_S.ENDED],
}
"""What a handoff comes to after it was accepted."""


class Desk:
    """Takes handoffs; see `agent.handoff.contracts.HandoffDesk`.

    With a webhook, the webhook decides and `default_transfer` fills in where it names no target. Without one, callers
    go to `default_transfer`, and where that is missing too, to nobody: the row is kept for a call back. A failing
    database costs the row, never the transfer.
    """

    def __init__(self, database: Database, webhook: Webhook | None, default_transfer: str | None, clock: Clock) -> None:
        self._database = database
        self._webhook = webhook
        self._default_transfer = default_transfer
        self._clock = clock
        self._requests: OrderedDict[str, asyncio.Task[HandoffResult]] = OrderedDict()
        self.teller: Teller | None = None
        """Tells others of every step."""
        self._entering: dict[str, asyncio.Event] = {}
        self._moving = asyncio.Lock()
        self.counters: Counter[str] = Counter()
        """accepted, declined, unavailable, failed, and failed_writes of the database."""

    async def request(self, request: HandoffRequest) -> HandoffResult:
        """Queue `request` and ask. The same handoff_id again returns the first result. Never raises.

        Cancelling the caller does not take back what was asked.
        """
        task = self._requests.get(request.handoff_id)
        if task is None:
            self._entering[request.handoff_id] = asyncio.Event()
            task = asyncio.create_task(self._request(request), name=f"handoff-{request.handoff_id}")
            self._requests[request.handoff_id] = task
            self._forget_oldest()
        return await asyncio.shield(task)

    async def caller_left(self, handoff_id: str) -> None:
        """The caller hung up while waiting; too late an answer of the webhook changes nothing any more."""
        if self.teller is not None:
            self.teller.caller_left(handoff_id)
        entering = self._entering.get(handoff_id)
        if entering is not None:
            await entering.wait()
        await self._advance(handoff_id, [_S.CALLER_LEFT], only_from=WAITING)

    async def finished(self, handoff_id: str, outcome: str) -> None:
        """The transfer itself worked (`bridged`) or not (`transfer_failed`: somebody should call back).

        Later, where the person spoke on our line: the call is over (`ended`), or the agent has it back (`handed_back`).
        """
        if self.teller is not None:
            self.teller.finished(handoff_id, outcome)
        states = FINISHED.get(outcome)
        if states is None:
            log.error("handoff %s: outcome %r is unknown; use %s", handoff_id, outcome, ", ".join(FINISHED))
            return
        await self._advance(handoff_id, states, "the transfer failed" if outcome == "transfer_failed" else "")

    async def aclose(self) -> None:
        """Wait for the answers still on their way; each has the webhook's budget."""
        await asyncio.gather(*self._requests.values(), return_exceptions=True)

    async def _request(self, request: HandoffRequest) -> HandoffResult:
        try:
            try:
                known = await self._enter(request)
            finally:
                self._entering.pop(request.handoff_id).set()
            if known is not None:
                self._requests.pop(request.handoff_id, None)
                return known
            if self.teller is not None:
                self.teller.queued(request)
            result = await self._decide(request)
            if await self._conclude(request.handoff_id, result):
                self._requests.pop(request.handoff_id, None)
        except Exception as error:  # the contract: a broken desk must not break the call
            log.exception("handoff %s failed", request.handoff_id)
            result = HandoffResult("failed", detail=f"{type(error).__name__}")
        if self.teller is not None:
            self.teller.result(request.handoff_id, result)
        self.counters[result.outcome] += 1
        return result

    async def _decide(self, request: HandoffRequest) -> HandoffResult:
        if self._webhook is None:
            if self._default_transfer is None:
                return HandoffResult("unavailable", detail="no webhook and no transfer target is configured")
            return HandoffResult("accepted", self._default_transfer)
        await self._advance(request.handoff_id, [_S.RINGING])
        try:
            answer = await self._webhook.ask(request)
        except WebhookError as error:
            log.error("handoff %s: webhook %s: %s", request.handoff_id, error.code, error)
            return HandoffResult("failed", detail=f"webhook {error.code}")
        if answer.outcome == "accepted":
            return HandoffResult("accepted", answer.transfer_to or self._default_transfer, answer.detail)
        return HandoffResult(answer.outcome, detail=answer.detail)

    async def _enter(self, request: HandoffRequest) -> HandoffResult | None:
        """Write the row; the result it has already, where an earlier run of ours finished it."""
        found = select(Handoff.outcome, Handoff.transfer_to, Handoff.detail).where(Handoff.id == request.handoff_id)
        try:
            async with self._database.engine.begin() as connection:
                row = (await connection.execute(found)).one_or_none()
                if row is None:
                    await self._insert(connection, request)
                elif row.outcome is not None:
                    return HandoffResult(cast(HandoffOutcome, row.outcome), row.transfer_to, row.detail)
        except (SQLAlchemyError, OSError) as error:
            self._write_failed(request.handoff_id, error)
        return None

    async def _insert(self, connection: AsyncConnection, request: HandoffRequest) -> None:
        now = self._clock.wall()
        context = {
            "slots": request.slots,
            "emotion": request.emotion,
            "transcript": request.transcript,
            "actions": request.actions,
            "recording": request.recording,
        }
        row = {
            "id": request.handoff_id,
            "call_id": request.call_id,
            "gateway": request.gateway,
            "gateway_call_id": request.gateway_call_id,
            "state": _S.QUEUED.value,
            "priority": request.priority,
            "reason": redact(request.reason),
            "rule": request.rule,
            "caller": request.caller,
            "called": request.called,
            "language": request.language,
            "summary": redact(request.summary),
            "intent": request.intent,
            "context": redact_json(context),
            "detail": "",
            "created_at": now,
            "updated_at": now,
        }
        await connection.execute(insert(Handoff), [fit(Handoff, row)])
        steps = [
            {"handoff_id": request.handoff_id, "sequence": sequence, "state": state.value, "at": now, "detail": ""}
            for sequence, state in enumerate((_S.OFFERED, move(_S.OFFERED, _S.QUEUED)))
        ]
        await connection.execute(insert(HandoffStep), steps)

    async def _conclude(self, handoff_id: str, result: HandoffResult) -> bool:
        """Move to where the result leads; a caller who left meanwhile stays gone. Returns whether it is written."""
        steps: dict[str, Sequence[HandoffState]] = {
            "accepted": [_S.RINGING, _S.BRIEFING],
            "declined": [_S.RINGING, _S.DECLINED],
            "unavailable": [_S.UNAVAILABLE, _S.CALLBACK],
            "failed": [_S.UNAVAILABLE, _S.CALLBACK],
        }
        values = {"outcome": result.outcome, "transfer_to": result.transfer_to, "detail": redact(result.detail)}
        return await self._advance(handoff_id, steps[result.outcome], result.detail, values, only_from=WAITING)

    async def _advance(
        self,
        handoff_id: str,
        states: Sequence[HandoffState],
        detail: str = "",
        values: dict[str, Any] | None = None,
        only_from: frozenset[HandoffState] | None = None,
    ) -> bool:
        """Move a handoff through `states` and set `values`; from a state outside `only_from` it does not move.

        A handoff that is at one of `states` already goes on from there.
        Returns whether the database has it now.
        """
        try:
            # One at a time: of two that read the same step number, the second could not be written.
            async with self._moving, self._database.engine.begin() as connection:
                found = await connection.execute(select(Handoff.state).where(Handoff.id == handoff_id))
                stored = found.scalar_one_or_none()
                if stored is None:
                    log.error("handoff %s is not in the database; it was not moved to %s", handoff_id, states[-1])
                    return False
                state = HandoffState(stored)
                if only_from is not None and state not in only_from:
                    states = []
                elif state in states:
                    states = states[list(states).index(state) + 1 :]
                now = self._clock.wall()
                last = select(func.max(HandoffStep.sequence)).where(HandoffStep.handoff_id == handoff_id)
                sequence = (await connection.execute(last)).scalar_one()
                for to in states:
                    state = move(state, to)
                    sequence += 1
                    step = {"handoff_id": handoff_id, "sequence": sequence, "state": state.value, "at": now}
                    await connection.execute(insert(HandoffStep), [step | {"detail": redact(detail)}])
                await connection.execute(
                    update(Handoff)
                    .where(Handoff.id == handoff_id)
                    .values({"state": state.value, "updated_at": now} | (values or {}))
                )
        except IllegalMove as error:
            log.error("handoff %s: %s", handoff_id, error)
            return False
        except (SQLAlchemyError, OSError) as error:
            self._write_failed(handoff_id, error)
            return False
        return True

    def _write_failed(self, handoff_id: str, error: Exception) -> None:
        self.counters["failed_writes"] += 1
        log.error("handoff %s could not be written: %s: %s", handoff_id, type(error).__name__, error)

    def _forget_oldest(self) -> None:
        while len(self._requests) > REMEMBERED:
            oldest, task = next(iter(self._requests.items()))
            if not task.done():
                return
            del self._requests[oldest]
