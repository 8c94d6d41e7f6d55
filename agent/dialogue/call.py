"""One call's dialogue: turns the policy's decisions and the flow engine's needs into a stream of parts."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from typing import Any

from agent.clock import Clock
from agent.dialogue.actions import CallActions
from agent.dialogue.contracts import (
    Acted,
    Because,
    CallerTurn,
    Expect,
    HandoffOutcome,
    Part,
    Say,
)
from agent.dialogue.domain import Domain
from agent.dialogue.emotion import feel, toned, upset
from agent.dialogue.knowledge import Found, KnowledgeBase
from agent.dialogue.machine import FlowMachine, Need
from agent.dialogue.policy import Policy
from agent.dialogue.state import CallState, Pending
from agent.dialogue.summary import summarise
from agent.dialogue.text import render, sentences
from models.contracts import Tone, UnderstandingContext

MOST_LATE = 16
"""Outcomes of actions waiting to be told; the oldest goes first."""


@dataclass(frozen=True)
class Snapshot:
    """State as it was, and how many actions had been told."""

    state: CallState
    acted: int


class _NotForeseeable(Exception):
    """A preview came to an action that may only run for a turn that is over."""


@dataclass
class Telling:
    """One answer as it is given: its reasons, whether an apology is due, and whether a sentence was given."""

    facts: dict[str, Any]
    sorry: bool
    began: bool = False


class CallDialogue:
    """Implements `agent.dialogue.contracts.Dialogue`."""

    def __init__(
        self,
        domain: Domain,
        machine: FlowMachine,
        knowledge: KnowledgeBase,
        actions: CallActions,
        clock: Clock,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
        phrases: list[tuple[str, Tone]],
        caller: str | None = None,
    ) -> None:
        self._domain = domain
        self._machine = machine
        self._policy = Policy(domain, machine)
        self._knowledge = knowledge
        self._actions = actions
        self._clock = clock
        self._run = run
        self._phrases = phrases
        self._caller = caller
        self._state = CallState()
        self._acted: list[Acted] = []
        self._late: list[Acted] = []
        self._previewing = False

    @property
    def context(self) -> UnderstandingContext:
        """What the dialogue waits for now."""
        return self._machine.expecting(self._state).context

    async def open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncIterator[Part]:
        """Greet, disclose (must be heard), offer help."""
        self._caller = caller or self._caller
        manner = self._domain.manner
        parts: list[Part] = [*self._machine.worded(self._state, "greeting", manner.greeting, self._today())]
        parts += [Say(text, must_hear=True) for line in manner.disclosures for text in sentences(line)]
        parts += [Say(manner.offer, "warm"), Because({"rule": "greeting"}), self._machine.expecting(self._state)]
        self._state.reply.question = manner.offer
        async for part in self._give(parts):
            yield part

    def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """Answer one turn; see `Dialogue.respond`."""
        return self._respond(turn)

    async def _respond(self, turn: CallerTurn) -> AsyncGenerator[Part, None]:
        state, today = self._state, self._today()
        state.turn = turn.number
        state.intents = [*state.intents, turn.understood.intent][-50:] if turn.text.strip() else state.intents
        sorry = bool(turn.text.strip()) and feel(
            state.feelings, self._domain.manner.emotion, turn.number, turn.understood.emotion, turn.voice
        )
        if state.frame is not None and state.pending is None and self._machine.asking(state) is None:
            # The caller spoke while this flow was at work: what its action did is told as late news.
            self._machine.close(state)
        telling = Telling(self._facts(turn), sorry)
        late, self._late = self._late, []
        reply = self._reply(turn, today, telling)
        async with aclosing(self._with_late(late, reply, telling) if late else reply) as parts:
            async for part in parts:
                yield part
        telling.facts["emotion"] = self._emotion()
        yield Because(telling.facts)

    async def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """What `respond` would answer, up to the first action that is not marked `speculate`; changes nothing.

        It works on a copy of the state; an action it runs keeps no trace in the call.
        """
        fork = copy.copy(self)
        fork._state = copy.deepcopy(self._state)
        fork._acted, fork._late = list(self._acted), list(self._late)
        fork._previewing = True
        async with aclosing(fork._respond(turn)) as parts:
            try:
                async for part in parts:
                    yield part
            except _NotForeseeable:
                return

    async def handoff_outcome(self, outcome: HandoffOutcome, detail: str = "") -> AsyncIterator[Part]:
        """Words for the caller once it is known what became of the handoff; after `accepted` the call leaves."""
        state = self._state
        facts = {"rule": "handoff_outcome", "outcome": outcome, "detail": detail}
        if outcome == "accepted":
            parts: list[Part] = [*self._machine.phrase(state, "handoff_accepted", self._today())]
        else:
            state.handed_off = None
            state.failures = state.unclear = 0
            state.frames.clear()
            state.pending = Pending("more")
            parts = [*self._machine.phrase(state, f"handoff_{outcome}", self._today())]
            parts.append(self._machine.expecting(state))
        async for part in self._give([Because(facts), *parts]):
            yield part

    async def apology(self) -> AsyncIterator[Part]:
        """Words for the caller when a part of the agent failed, then a person."""
        parts: list[Part] = [
            Because({"rule": "part_failed"}),
            *self._machine.phrase(self._state, "part_failed", self._today()),
            self._machine.leave(self._state, "a part of the agent failed", "part_failed", 1),
        ]
        async for part in self._give(parts):
            yield part

    def snapshot(self) -> Snapshot:
        """The state as it is now."""
        return Snapshot(copy.deepcopy(self._state), len(self._acted))

    def restore(self, snapshot: Snapshot) -> None:
        """Take back a turn that nobody heard the answer of. What its actions did is told with the next answer."""
        self._state = copy.deepcopy(snapshot.state)
        for acted in self._acted[snapshot.acted :]:
            if self._actions.spec(acted.name).side_effects:
                self._keep_late(acted)

    def heard(self, text: str, complete: bool) -> None:
        """What of the last answer the caller really heard."""
        reply = self._state.reply
        whole = " ".join(say.text for say in reply.says)
        reply.unheard = "" if complete else whole[min(len(text.strip()), len(whole)) :].strip()

    def summary(self) -> Mapping[str, Any]:
        """For handoff and records; see `agent.dialogue.summary.summarise`."""
        return summarise(self._domain, self._state, self._acted, self._caller)

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Every sentence of the domain without a variable part, with its tone."""
        return list(self._phrases)

    async def _reply(self, turn: CallerTurn, today: date, telling: Telling) -> AsyncGenerator[Part, None]:
        state, facts = self._state, telling.facts
        decision = self._policy.decide(state, turn, today)
        facts |= {"decision": decision.why, "rule": decision.rule}
        if decision.search:
            found = await self._find(turn.text, facts)
            decision = self._policy.after_search(state, turn, found, today)
            facts |= {"decision": decision.why, "rule": decision.rule}
        facts |= self._where()
        parts: list[Part] = decision.parts
        running = decision.run
        while running:
            more, stop = self._machine.advance(state, today)
            parts = [*parts, *more]
            facts |= self._where()
            running = isinstance(stop, Need) or stop == "search"
            if isinstance(stop, Need):
                for part in self._planned(parts, telling):
                    yield part
                async with aclosing(self._act(stop, telling)) as outcome:
                    async for part in outcome:
                        yield part
                parts = []
            elif stop == "search":
                found = await self._find(state.frames[-1].words, facts)
                answer = found.fact.text if found is not None and found.answers else None
                parts += self._machine.answered(state, answer, today)
                running = answer is not None
        for part in self._planned(parts, telling):
            yield part

    def _planned(self, parts: list[Part], telling: Telling) -> list[Part]:
        """`parts` as they will be given: toned, after an apology where one is due, and known to `heard` from now on.

        The whole batch is noted before its first part is given, since a barge-in may stop the giving anywhere.
        """
        state, planned = self._state, list[Part]()
        for part in parts:
            if isinstance(part, Expect):
                state.reply.expect = part
            if isinstance(part, Say):
                if not telling.began:
                    telling.began = True
                    state.reply.says = []
                    planned.append(Because(dict(telling.facts)))
                if telling.sorry:
                    telling.sorry = False
                    state.feelings.apologised = state.turn
                    if part.tone != "sorry":
                        planned += [self._note(say) for say in self._machine.phrase(state, "apology", self._today())]
                part = self._note(toned(part, state.feelings, self._domain.manner.emotion))
            planned.append(part)
        return planned

    async def _act(self, need: Need, telling: Telling) -> AsyncGenerator[Part, None]:
        """Run an action for the machine. When cancelled, one with side effects goes on and is told later."""
        state, spec = self._state, self._actions.spec(need.action)
        if self._previewing and not spec.speculate:
            raise _NotForeseeable
        task, joined = self._actions.start(need.action, need.arguments)
        if joined:
            self._late = [acted for acted in self._late if acted.idempotency_key != self._key(need)]
        done = False
        try:
            if spec.filler and not task.done():
                waited = asyncio.ensure_future(self._clock.sleep_until(self._clock.now_ms() + spec.filler_after_ms))
                try:
                    await asyncio.wait({task, waited}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waited.cancel()
                if not task.done():
                    for part in self._planned([Say(sentence) for sentence in sentences(spec.filler)], telling):
                        yield part
            await asyncio.wait({task})
            done = True
        finally:
            if not done:
                if spec.side_effects:
                    task.add_done_callback(self._finished_late)
                else:
                    task.cancel()
        acted = task.result()
        if joined:
            acted = Acted(acted.name, acted.arguments, acted.ok, acted.result, acted.idempotency_key, True, 0.0)
        self._acted.append(acted)
        self._machine.result(state, acted.ok, acted.result)
        telling.facts.setdefault("actions", []).append(need.action)
        yield acted

    async def _with_late(
        self, late: list[Acted], reply: AsyncGenerator[Part, None], telling: Telling
    ) -> AsyncGenerator[Part, None]:
        """What earlier actions did, before this turn's answer, unless this turn tells it itself."""
        async with aclosing(reply) as stream:
            parts = [part async for part in stream]
        told = {part.idempotency_key for part in parts if isinstance(part, Acted)}
        news: list[Say] = []
        for acted in late:
            if acted.idempotency_key in told:
                continue
            if acted not in self._acted:
                self._acted.append(acted)
            yield acted
            text = self._actions.spec(acted.name).late
            if acted.ok and text:
                scope = {"today": self._today(), "business": self._domain.manner.business, "result": acted.result}
                news += [Say(sentence) for sentence in sentences(render(text, scope | dict(acted.arguments)))]
        telling.facts["late"] = [acted.name for acted in late]
        self._state.reply.says[:0] = news
        for part in (*news, *parts):
            yield part

    def _finished_late(self, task: asyncio.Task[Acted]) -> None:
        if not task.cancelled():
            self._keep_late(task.result())

    def _keep_late(self, acted: Acted) -> None:
        if all(kept.idempotency_key != acted.idempotency_key for kept in self._late):
            self._late.append(acted)
            del self._late[:-MOST_LATE]

    def _key(self, need: Need) -> str:
        return self._actions.key(need.action, need.arguments)

    async def _find(self, text: str, facts: dict[str, Any]) -> Found | None:
        found: Found | None = await self._run(lambda: self._knowledge.find(text))
        if found is not None:
            facts["knowledge"] = {
                "source": found.fact.source,
                "score": found.score,
                "cosine": found.cosine,
                "coverage": found.coverage,
                "answers": found.answers,
            }
        return found

    async def _give(self, parts: list[Part]) -> AsyncIterator[Part]:
        self._state.reply.says = [part for part in parts if isinstance(part, Say)]
        self._state.reply.unheard = ""
        for part in parts:
            if isinstance(part, Expect):
                self._state.reply.expect = part
        for part in parts:
            yield part

    def _note(self, say: Say) -> Say:
        self._state.reply.says.append(say)
        self._state.reply.unheard = ""
        return say

    def _facts(self, turn: CallerTurn) -> dict[str, Any]:
        understood = turn.understood
        return {
            "intent": understood.intent,
            "confidence": round(understood.confidence, 3),
            "ranking": [[name, round(probability, 3)] for name, probability in understood.ranking[:3]],
            "slots": {slot.name: slot.value for slot in understood.slots},
            "emotion": self._emotion(),
        }

    def _where(self) -> dict[str, Any]:
        frame = self._state.frame
        return {"flow": frame.flow, "step": frame.at} if frame else {}

    def _emotion(self) -> dict[str, Any]:
        feelings = self._state.feelings
        label = feelings.series[-1].label if feelings.series else "neutral"
        return {
            "label": label,
            "anger": round(feelings.anger, 3),
            "angry_turns": feelings.angry_turns,
            "upset": upset(feelings, self._domain.manner.emotion),
        }

    def _today(self) -> date:
        return self._clock.wall().date()
