"""The step in which a language model talks with the caller towards a goal, with the actions of that step alone.

What it may do is decided here and in `agent.dialogue.writing.acting`, not by what it or the caller says: read-only
actions run through the call's own, which enforce identity and permission; one with side effects is only proposed, and
runs once the caller said yes to the domain's own question. What it says must rest on results.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from agent.clock import Clock
from agent.dialogue.acting import Acting
from agent.dialogue.actioncontext import ActionFailed
from agent.dialogue.contracts import Acted
from agent.dialogue.needs import Helped, Need
from agent.dialogue.phrasing import lines_of, private_of
from agent.dialogue.state import CallState, Proposed
from agent.dialogue.steps import AssistStep
from agent.dialogue.writing.contracts import ActionTool, Outcome, Writer
from agent.dialogue.writing.questions import is_question

FILLER_AFTER_MS = 800.0
"""When the step's filler is said; a silence of more than a second is heard as trouble (docs/language-models.md)."""


class Assisting:
    """Asks the model of one call; `writer` None helps with nothing."""

    def __init__(self, writer: Writer | None, acting: Acting, clock: Clock) -> None:
        self._writer = writer
        self._acting = acting
        self._clock = clock

    async def ask(
        self, step: AssistStep, state: CallState, language: str
    ) -> AsyncGenerator[Acted | Outcome | None, None]:
        """None once it takes long enough for the filler, the actions that ran, then what came of it.

        Close it when the caller interrupts: that ends the model's work and the read-only actions it wanted.
        """
        if self._writer is None or not self._writer.does("act"):
            yield Outcome()
            return
        ran: list[Acted] = []

        async def run(name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            acted = await self._run(Need(name, arguments))
            ran.append(acted)
            if not acted.ok:
                raise ActionFailed(str(acted.result.get("error", "failed")), f"action '{name}' failed")
            return acted.result

        asked = asyncio.ensure_future(
            self._writer.act(
                step.assist,
                lines_of(state),
                self.tools(step),
                run,
                verified=state.customer is not None,
                language=language,
                private=private_of(state),
            )
        )
        try:
            if step.filler:
                waited = asyncio.ensure_future(self._clock.sleep_until(self._clock.now_ms() + FILLER_AFTER_MS))
                try:
                    await asyncio.wait({asked, waited}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waited.cancel()
                if not asked.done():
                    yield None
            outcome = await asked
        finally:
            if not asked.done():
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
        for acted in ran:
            yield acted
        yield outcome

    def tools(self, step: AssistStep) -> list[ActionTool]:
        """The actions of the step as the model is told of them; one whose arguments are not known is left out."""
        found: list[ActionTool] = []
        for name in step.actions:
            spec, schema = self._acting.actions.spec(name), self._acting.actions.schema(name)
            if schema is not None and not spec.sensitive:
                words = spec.description or name.replace("_", " ")
                found.append(ActionTool(name, words, schema, spec.side_effects, spec.identity))
        return found

    async def _run(self, need: Need) -> Acted:
        """Run a read-only action to its end; its own filler is not said, the step has one."""
        async with aclosing(self._acting.run(need)) as outcome:
            async for acted in outcome:
                if acted is not None:
                    return acted
        raise RuntimeError(f"action '{need.action}' came to no end")


def helped_by(outcome: Outcome) -> Helped:
    """What came of it, as the flow engine takes it."""
    wanted = outcome.proposal
    proposal = None if wanted is None else Proposed(wanted.name, dict(wanted.arguments))
    name, _, result = outcome.ran[-1] if outcome.ran else ("", {}, {})
    asks = bool(outcome.sentences) and is_question(outcome.sentences[-1])
    return Helped(outcome.sentences, asks, proposal, name, result)


def facts_of(outcome: Outcome) -> dict[str, Any]:
    """What the turn's record has of it."""
    facts: dict[str, Any] = {"ran": [name for name, _, _ in outcome.ran], "sentences": len(outcome.sentences)}
    if outcome.proposal is not None:
        facts["proposed"] = outcome.proposal.name
    if outcome.refused:
        facts["refused"] = [[name[:40], reason] for name, reason in outcome.refused]
    if outcome.reason is not None:
        facts["reason"] = outcome.reason
    return facts
