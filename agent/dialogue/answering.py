"""The answer to one turn: the decision of the policy, then what the flow engine needs, as a stream of parts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import date
from functools import partial
from typing import Any

from agent.dialogue.contracts import CallerTurn, Expect, Part, Say
from agent.dialogue.knowledge import Found
from agent.dialogue.needs import Need
from agent.dialogue.ongoing import Ongoing
from agent.dialogue.remarks import greeted, what_else
from agent.dialogue.telling import Telling
from agent.dialogue.text import sentences
from agent.dialogue.turn_actions import TurnActions
from agent.dialogue.wanted import followed
from agent.dialogue.writing.contracts import Use


class Answering:
    """Makes the answer to `turn`."""

    def __init__(self, ongoing: Ongoing, telling: Telling, turn: CallerTurn, today: date) -> None:
        self._ongoing = ongoing
        self._telling = telling
        self._turn = turn
        self._today = today
        self._actions = TurnActions(ongoing, telling, turn)

    async def parts(self) -> AsyncGenerator[Part, None]:
        """The answer as it comes.

        Raises:
            NotForeseeable: this is a preview, and the rest depends on what may only happen once the turn is over.
        """
        on, telling, today = self._ongoing, self._telling, self._today
        state, facts, here, turn = on.state, telling.facts, on.here, self._turn
        decision = here.policy.decide(state, turn, today)
        facts |= {"decision": decision.why, "rule": decision.rule}
        if decision.search:
            found = await self._find(turn.text)
            decision = here.policy.after_search(state, turn, found, today)
            facts |= {"decision": decision.why, "rule": decision.rule}
            if decision.answers is not None and self._extracts(decision.answers):
                decision.parts = [*_extract(decision.answers), *decision.parts]
            elif decision.answers is not None:
                async with aclosing(self._told(turn.text, decision.answers)) as told:
                    async for part in told:
                        yield part
            elif decision.why == "clarify" and state.pending is not None:
                offers = [here.domain.flows[flow].offer for flow in state.pending.options]
                decision.parts = await self._worded(
                    "clarify",
                    lambda: on.phrasing.question(turn.text, offers, decision.parts, state, here.language),
                )
        facts |= self._where()
        if decision.act is not None:
            async with aclosing(self._actions.run(Need(decision.act, {}), tell=False)) as outcome:
                async for part in outcome:
                    yield part
        async with aclosing(self.going_on(decision.parts, decision.run)) as rest:
            async for part in rest:
                yield part

    async def going_on(self, parts: list[Part], running: bool = True) -> AsyncGenerator[Part, None]:
        """`parts`, and what the open task says and does until the caller is needed; nothing of it unless `running`.

        Raises:
            NotForeseeable: see `parts`.
        """
        on, telling, today = self._ongoing, self._telling, self._today
        state, facts, here = on.state, telling.facts, on.here
        while running:
            more, stop = here.machine.advance(state, today)
            parts = [*parts, *more]
            facts |= self._where()
            running = isinstance(stop, Need) or stop in ("search", "proven")
            if isinstance(stop, Need):
                for part in telling.planned(parts, more=True):
                    yield part
                async with aclosing(self._actions.run(stop)) as outcome:
                    async for part in outcome:
                        yield part
                parts = []
            elif stop == "search":
                found = await self._find(state.frames[-1].words)
                running = found is not None and found.answers
                if found is not None and running and self._extracts(found):
                    parts += _extract(found)
                elif found is not None and running:
                    for part in telling.planned(parts):
                        yield part
                    async with aclosing(self._told(state.frames[-1].words, found)) as told:
                        async for part in told:
                            yield part
                    parts = []
                parts += here.machine.answered(state, running, today)
                running = running or state.pending is None
            elif stop == "assist":
                for part in telling.planned(parts, more=True):
                    yield part
                answer: list[Part] = []
                async with aclosing(self._actions.assist(answer, today)) as given:
                    async for part in given:
                        yield part
                parts = answer
                running = not any(isinstance(part, Expect) for part in parts)
            elif stop == "proven":
                parts += greeted(on, today)
            elif stop == "finished":
                parts += what_else(on, telling, today)
        if state.consents:
            facts["consents"] = {name: consent.agreed for name, consent in state.consents.items()}
        if telling.asked:
            async with aclosing(followed(on, telling, parts)) as wanted:
                async for part in wanted:
                    yield part
            return
        if on.phrasing.does("rephrase"):
            parts = await self._worded("rephrase", partial(on.phrasing.reworded, parts, state, here.language))
        for part in telling.planned(parts):
            yield part

    async def _told(self, question: str, found: Found) -> AsyncGenerator[Part, None]:
        """The answer found, sentence by sentence."""
        on = self._ongoing
        answer = on.phrasing.answer(question, found, on.state, on.here.language, self._telling.facts)
        if on.phrasing.does("answer"):
            on.must_be_over()
        async with aclosing(answer) as stream:
            async for text in stream:
                for part in self._telling.planned([Say(text)]):
                    yield part

    async def _worded(self, use: Use, words: Callable[[], Awaitable[list[Part]]]) -> list[Part]:
        """What a model makes of the parts; a guess at a turn that may go on does not ask it."""
        if self._ongoing.phrasing.does(use):
            self._ongoing.must_be_over()
        return await words()

    def _extracts(self, found: Found) -> bool:
        """Whether an answer is given in the section's words: no model words it, or one words the whole answer later."""
        if self._telling.asked:
            self._telling.sections.append(found.fact)
        return bool(self._telling.asked) or not self._ongoing.phrasing.does("answer")

    async def _find(self, text: str) -> Found | None:
        """The answer to `text` in the knowledge; what it is about is what the call speaks of now."""
        state, knowledge = self._ongoing.state, self._ongoing.here.knowledge
        found: Found | None = await self._ongoing.run(lambda: knowledge.find(text, about=state.topic or None))
        if found is not None:
            self._telling.facts["knowledge"] = {
                "source": found.source,
                "score": found.score,
                "cosine": found.cosine,
                "coverage": found.coverage,
                "answers": found.answers,
            }
            if found.answers:
                state.topic = found.source
                said = set(sentences(found.answer))
                state.more = [] if found.graph else [text for text in sentences(found.fact.text) if text not in said]
        return found

    def _where(self) -> dict[str, Any]:
        frame = self._ongoing.state.frame
        return {"flow": frame.flow, "step": frame.at} if frame else {}


def _extract(found: Found) -> list[Part]:
    """The answer found, as its section says it."""
    return [Say(sentence) for sentence in sentences(found.answer)]
