"""A signed webhook that is told of every step; the receiver checks it as docs/handoff.md says."""

from __future__ import annotations

import json
import random
from collections.abc import Collection

from agent.clock import Clock
from agent.handoff.hooks.events import STEPS, HandoffEvent, Step
from agent.handoff.hooks.sending import REMEDY
from agent.handoff.webhook import MAX_REQUEST, MAX_RESPONSE
from agent.outbound import OutboundError, SignedPost


class SignedHook:
    """Posts `{"type": "handoff.STEP", "version": 1, ...}`; any 2xx is an answer, its body is not read further."""

    def __init__(
        self,
        name: str,
        url: str,
        key: str,
        clock: Clock,
        steps: Collection[Step] = STEPS,
        timeout_s: float = 10.0,
        budget_s: float = 60.0,
        allow_private: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        """Raises ValueError where the URL or the key (16 bytes at least) cannot be used."""
        self.name = name
        self._steps = frozenset(steps)
        who = f"hook {name}"
        self._post = SignedPost(who, url, key, clock, MAX_RESPONSE, timeout_s, budget_s, allow_private, REMEDY, rng)

    def wants(self, event: HandoffEvent) -> bool:
        """By its step."""
        return event.step in self._steps

    async def deliver(self, event: HandoffEvent) -> None:
        """Post, again and again within the budget.

        Raises:
            OutboundError: no 2xx.
        """
        await self._post.post(encode_event(event), event.event_id)


def encode_event(event: HandoffEvent) -> bytes:
    """UTF-8 JSON of at most `MAX_REQUEST` bytes, oldest transcript rows left out first.

    Raises:
        OutboundError: even without a transcript it is too large.
    """
    plain = event.plain()
    head = {"type": f"handoff.{event.step}", "version": 1}
    while True:
        body = json.dumps(head | plain, separators=(",", ":"), default=str).encode()
        if len(body) <= MAX_REQUEST:
            return body
        rows = list(plain["handoff"]["transcript"])
        if not rows:
            raise OutboundError("too_large", f"the handoff takes {len(body)} bytes without its transcript")
        plain["handoff"]["transcript"] = rows[(len(rows) + 1) // 2 :]
