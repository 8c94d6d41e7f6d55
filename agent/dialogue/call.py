"""One call's dialogue, as calls use it: opens, answers turns, hears what came across, gives way to people and ends."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from agent.clock import Clock
from agent.dialogue import person
from agent.dialogue.acting import Acting
from agent.dialogue.actioncontext import ActionContext, Runnable
from agent.dialogue.actions import CallActions
from agent.dialogue.answering import Answering
from agent.dialogue.contracts import (
    Acted,
    Because,
    CallerTurn,
    Expect,
    HandoffOutcome,
    Part,
    Say,
    Tool,
)
from agent.dialogue.emotion import feel
from agent.dialogue.instructing import MOST_INSTRUCTIONS, Instruction, read_instruction
from agent.dialogue.lookup import History, Lookup
from agent.dialogue.ongoing import NotForeseeable, Ongoing
from agent.dialogue.phrasing import Phrasing
from agent.dialogue.reasons import WITHHELD, emotion_facts, turn_facts
from agent.dialogue.saving import Keeper, StateError, from_json, taken_up, to_json, worth_keeping
from agent.dialogue.state import CallState, Pending
from agent.dialogue.summary import summarise
from agent.dialogue.telling import Telling
from agent.dialogue.text import sentences
from agent.dialogue.tongue import Tongue
from agent.dialogue.turn_actions import read_again
from agent.dialogue.wanted import instructed
from agent.dialogue.writing.contracts import Writer
from models.contracts import Tone, UnderstandingContext, Understood

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """State as it was, and how many actions had been told."""

    state: CallState
    acted: int
    instructions: tuple[Instruction, ...] = ()


class CallDialogue:
    """Implements `agent.dialogue.contracts.Dialogue` and `Acts`."""

    def __init__(
        self,
        tongues: Mapping[str, Tongue],
        first: str,
        actions: CallActions,
        clock: Clock,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
        phrases: list[tuple[str, Tone]],
        caller: str | None = None,
        writer: Writer | None = None,
        keeper: Keeper | None = None,
        history: History | None = None,
    ) -> None:
        """`tongues` by language, `first` the one spoken until the caller's is known."""
        settings = tongues[first].domain.manner.profile
        lookup = Lookup(actions, settings, clock, list(tongues), history)
        self.ongoing = Ongoing(tongues, first, Acting(actions, clock), clock, run, Phrasing(writer), lookup)
        """The call as it stands."""
        self._phrases = phrases
        self._caller = caller
        self._keeper = keeper

    @property
    def context(self) -> UnderstandingContext:
        """What the dialogue waits for now."""
        return self.ongoing.here.machine.questions.expecting(self.ongoing.state).context

    @property
    def sensitive(self) -> bool:
        """Whether what is waited for is neither recorded nor shown."""
        return self.ongoing.sensitive

    @property
    def may_record(self) -> bool:
        """Always: a dialogue around this one asks where it must."""
        return True

    async def open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncIterator[Part]:
        """Greet, disclose (must be heard), offer help, or offer to go on where the line dropped."""
        on = self.ongoing
        self._caller = caller or self._caller
        await on.lookup.begin(self._caller)
        on.take_profile()
        earlier = await self._earlier()
        state, machine, manner = on.state, on.here.machine, on.here.domain.manner
        parts: list[Part] = [*machine.wordings.worded(state, "greeting", manner.greeting, on.today)]
        parts += [Say(text, must_hear=True) for line in manner.disclosures for text in sentences(line)]
        if earlier is not None:
            on.state = state = earlier
            state.pending = Pending("continue", (state.frames[0].flow,))
            parts += [Because({"rule": "continue"}), *on.here.machine.questions.put(state, on.today)]
        else:
            parts += [Say(manner.offer, "warm"), Because({"rule": "greeting"}), machine.questions.expecting(state)]
            state.reply.question = manner.offer
        async for part in self._give(parts):
            yield part

    def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """Answer one turn; see `Dialogue.respond`."""
        return _answer(self.ongoing, turn)

    async def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """What `respond` would answer, up to the first action that is not marked `speculate`; changes nothing.

        It works on a copy of the state; an action it runs keeps no trace in the call.
        """
        async with aclosing(_answer(self.ongoing.fork(), turn)) as parts:
            try:
                async for part in parts:
                    yield part
            except NotForeseeable:
                return

    async def handoff_outcome(self, outcome: HandoffOutcome, detail: str = "") -> AsyncIterator[Part]:
        """Words for the caller once it is known what became of the handoff; after `accepted` the call leaves."""
        on, state, machine = self.ongoing, self.ongoing.state, self.ongoing.here.machine
        facts = {"rule": "handoff_outcome", "outcome": outcome, "detail": detail}
        if outcome == "accepted":
            parts: list[Part] = [*machine.wordings.phrase(state, "handoff_accepted", on.today)]
        else:
            state.handed_off = None
            state.failures = state.unclear = 0
            state.frames.clear()
            state.wishes.clear()
            state.pending = Pending("more")
            parts = [*machine.wordings.phrase(state, f"handoff_{outcome}", on.today)]
            parts.append(machine.questions.expecting(state))
        async for part in self._give([Because(facts), *parts]):
            yield part

    async def apology(self) -> AsyncIterator[Part]:
        """Words for the caller when a part of the agent failed, then a person."""
        on, machine = self.ongoing, self.ongoing.here.machine
        parts: list[Part] = [
            Because({"rule": "part_failed"}),
            *machine.wordings.phrase(on.state, "part_failed", on.today),
            machine.leave(on.state, "a part of the agent failed", "part_failed", 1),
        ]
        async for part in self._give(parts):
            yield part

    def overheard(self, speaker: str, text: str, understood: Understood | None) -> None:
        """What is said while a person has the call; see `agent.dialogue.person`."""
        person.overheard(self.ongoing, speaker, text, understood)

    def handed_back(self, who: str, note: str) -> AsyncIterator[Part]:
        """Words for the caller when a person gave the call back; see `agent.dialogue.person`."""
        return person.handed_back(self.ongoing, who, note)

    def instruct(self, text: str) -> str:
        """Follow what a person at a console asks for in the next answer; see `agent.dialogue.instructing`."""
        on = self.ongoing
        instruction = read_instruction(text, on.phrasing.does("instruct"))
        on.instructions = [*on.instructions, instruction][-MOST_INSTRUCTIONS:]
        return instruction.told

    def runnable(self) -> list[dict[str, Any]]:
        """The actions whose arguments are known; see `agent.dialogue.contracts.Acts`."""
        return person.runnable(self.ongoing)

    async def act(self, name: str, arguments: Mapping[str, Any]) -> Acted:
        """Run an action for a person who has the call; see `agent.dialogue.contracts.Acts`."""
        return await person.act(self.ongoing, name, arguments)

    def snapshot(self) -> Snapshot:
        """The state as it is now."""
        on = self.ongoing
        return Snapshot(copy.deepcopy(on.state), len(on.acting.done), tuple(on.instructions))

    def restore(self, snapshot: Snapshot) -> None:
        """Take back a turn that nobody heard the answer of. What its actions did is told with the next answer."""
        on = self.ongoing
        on.state = copy.deepcopy(snapshot.state)
        on.instructions = list(snapshot.instructions) or on.instructions
        for acted in on.acting.done[snapshot.acted :]:
            if on.acting.actions.spec(acted.name).side_effects:
                on.acting.keep_late(acted)

    def heard(self, text: str, complete: bool) -> None:
        """What of the last answer the caller really heard."""
        reply = self.ongoing.state.reply
        whole = " ".join(say.text for say in reply.says)
        reply.unheard = "" if complete else whole[min(len(text.strip()), len(whole)) :].strip()
        if text.strip():
            self.ongoing.said("agent", text.strip())

    def use_tools(self, tools: Mapping[str, Tool]) -> None:
        """Let the call's client do the work of actions of these names."""
        actions = self.ongoing.acting.actions
        for name, tool in tools.items():
            if name in actions.names:
                actions.elsewhere[name] = _done_by(tool)

    async def over(self) -> None:
        """The call is over. A task that a dropped line left open is kept for this caller's next call."""
        on = self.ongoing
        on.lookup.close()
        state = copy.deepcopy(on.state)
        if on.at_work(state) or on.acting.untold & on.changes(state):
            # What an action of this task did, or does, was not heard; it must not be done again by another call.
            on.here.machine.frames.drop(state)
        domain = on.here.domain
        identity = domain.manner.identity.flow if domain.manner.identity else ""
        kept = taken_up(state, identity, domain.asked(identity) if identity else ())
        if self._keeper is not None and self._caller and worth_keeping(state) and kept.frames:
            await self._keeper.keep(domain.name, self._caller, to_json(kept))

    def summary(self) -> Mapping[str, Any]:
        """For handoff and records; see `agent.dialogue.summary.summarise`."""
        on = self.ongoing
        return summarise(on.here.domain, on.state, on.acting.done, self._caller)

    async def told(self) -> Mapping[str, Any]:
        """The summary, its paragraph put into words by a language model where one does that."""
        summary = dict(self.summary())
        summary["paragraph"] = await self.ongoing.phrasing.paragraph(summary, self.ongoing.state)
        return summary

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Every sentence of the domain without a variable part, with its tone."""
        return list(self._phrases)

    async def _earlier(self) -> CallState | None:
        """What this caller's last call left open, if it can be taken up."""
        domain = self.ongoing.here.domain
        if self._keeper is None or not self._caller:
            return None
        text = await self._keeper.take(domain.name, self._caller)
        if text is None:
            return None
        try:
            state = from_json(text)
        except StateError as error:
            log.warning("%s", error, extra={"code": "state"})
            return None
        known = all(frame.flow in domain.flows for frame in (*state.frames, *state.done))
        return state if state.frames and known else None

    async def _give(self, parts: list[Part]) -> AsyncIterator[Part]:
        """Parts that answer no turn."""
        parts = [self.ongoing.spoken(part) if isinstance(part, Say) else part for part in parts]
        reply = self.ongoing.state.reply
        reply.says = [part for part in parts if isinstance(part, Say)]
        reply.unheard = ""
        for part in parts:
            if isinstance(part, Expect):
                reply.expect = part
        for part in parts:
            yield part


async def _answer(on: Ongoing, turn: CallerTurn) -> AsyncGenerator[Part, None]:
    """Take one turn into the call, and answer it.

    Raises:
        NotForeseeable: `on` is a preview's, and the rest depends on what may only happen once the turn is over.
    """
    state, today = on.state, on.today
    state.turn = turn.number
    before = on.here.language
    if turn.language in on.tongues:
        state.language = turn.language
    on.acting.actions.language = on.here.language
    if on.here.language != before:
        await read_again(on, today)
    on.take_profile()
    state.intents = [*state.intents, turn.understood.intent][-50:] if turn.text.strip() else state.intents
    if turn.text.strip():
        feel(state.feelings, on.here.emotion, turn.number, turn.understood.emotion, turn.voice)
        on.said("caller", f"({WITHHELD})" if on.sensitive else turn.text)
    if on.at_work(state):
        # The caller spoke while this flow was at work: what its action did is told as late news.
        on.here.machine.frames.drop(state)
    telling = Telling(on, turn_facts(turn, state, on.here.emotion))
    late = on.acting.take_late()
    reply = instructed(on, telling, Answering(on, telling, turn, today).parts(), today)
    async with aclosing(telling.with_late(late, reply) if late else reply) as parts:
        async for part in parts:
            yield part
    telling.facts["emotion"] = emotion_facts(state.feelings, on.here.emotion)
    yield Because(telling.facts)


def _done_by(tool: Tool) -> Runnable:
    async def run(arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        return await tool(arguments)

    return run
