"""How a call ends in order: we hang up, or the gateway has the caller; and what is kept of it."""

from __future__ import annotations

from agent.call.handover import Handover
from agent.call.replies import Replies
from agent.call.surroundings import Surroundings
from agent.call.transport import NORMAL
from agent.gateways.base import Hangup
from agent.records.history import VERDICT

GRACE_S = 5.0
"""How long a gateway may take to end the stream of a call that was handed over before we close it."""


class Ending:
    """Ends one call."""

    def __init__(self, around: Surroundings, handover: Handover, replies: Replies, gateway: str) -> None:
        self._around = around
        self._handover = handover
        self._replies = replies
        self._carrier = around.services.carriers.get(gateway)

    async def hang_up(self, why: str | None = None) -> None:
        """End the call by the gateway's own means. why: what a person ended it for; None after our goodbye."""
        around, leaving = self._around, self._replies.leaving
        reason = why or (leaving.ending if leaving is not None else "goodbye")
        around.outbox.put(Hangup(reason, self._handover.context(reason)))
        await around.outbox.drained()
        if around.can.hangup == "message":
            # The gateway ends the call and closes: were we faster, some would take it for a fault.
            await around.wait(GRACE_S * 1000.0)
        if around.can.hangup == "rest" and self._carrier is not None:
            try:
                await self._carrier.hang_up(around.call.gateway_call_id)
            except Exception as error:
                around.notes.fault("hangup_failed", f"{type(error).__name__}: {error}")
        around.end("completed" if why is None else "handed_off", reason, NORMAL)

    async def moved(self) -> None:
        """The gateway has the caller: it ends the stream, or we do."""
        how = self._around.can.transfer
        if how == "message" or (how == "rest" and self._carrier is not None):
            await self._around.wait(GRACE_S * 1000.0)
        self._around.end("handed_off", "transferred", NORMAL)

    async def over(self) -> None:
        """Tell the dialogue that the call is over, and note how it went."""
        dialogue, notes, alerts = self._around.dialogue, self._around.notes, self._around.services.alerts
        try:
            await dialogue.over()
        except Exception as error:
            notes.fault("dialogue_not_kept", f"{type(error).__name__}: {error}")
        try:
            verdict = dialogue.summary().get("verdict")
            if verdict is not None:
                notes.event(VERDICT, **verdict)
                if alerts is not None:
                    alerts.call_over(verdict["topic"], verdict["negative"])
        except Exception as error:
            notes.fault("call_not_judged", f"{type(error).__name__}: {error}")
