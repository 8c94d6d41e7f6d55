"""One call's dialogue: turns the policy's decisions and the flow engine's needs into a stream of parts."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any

from agent.clock import Clock
from agent.dialogue.acting import Acting
from agent.dialogue.actioncontext import ActionContext, Runnable
from agent.dialogue.actions import CallActions
from agent.dialogue.assisting import Assisting, helped_by
from agent.dialogue.assisting import facts_of as facts_of_help
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
from agent.dialogue.emotion import TurnFacts, facts_of, feel, shape
from agent.dialogue.following import done, planned, remaining
from agent.dialogue.instructing import BACK, MOST_INSTRUCTIONS, Instruction, goes_on, read_instruction, sorry
from agent.dialogue.knowledge import Found
from agent.dialogue.lookup import History, Lookup
from agent.dialogue.machine import Need
from agent.dialogue.moves import LIKELY
from agent.dialogue.offers import Occasion, choose_offer
from agent.dialogue.phrasing import Phrasing
from agent.dialogue.profile import NOBODY, Profile, personal
from agent.dialogue.reasons import WITHHELD, emotion_facts, turn_facts
from agent.dialogue.retelling import readings
from agent.dialogue.saving import Keeper, StateError, from_json, taken_up, to_json, worth_keeping
from agent.dialogue.state import HISTORY, CallState, Pending
from agent.dialogue.steps import AskStep, AssistStep, CallStep
from agent.dialogue.summary import summarise
from agent.dialogue.text import render, sentences
from agent.dialogue.tongue import Tongue
from agent.dialogue.writing.contracts import Passage, Use, Writer
from agent.dialogue.writing.questions import is_question
from models.contracts import Tone, UnderstandingContext, Understood
from models.languages import base

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """State as it was, and how many actions had been told."""

    state: CallState
    acted: int
    instructions: tuple[Instruction, ...] = ()


class _NotForeseeable(Exception):
    """A preview came to something that may only happen for a turn that is over."""


@dataclass
class Telling:
    """One answer as it is given: its reasons, whether a sentence was given, and the number of actions before it."""

    facts: dict[str, Any]
    acted: int
    began: bool = False
    asked: list[Instruction] = field(default_factory=list)
    """Instructions of a person at a console that a language model is to follow in this answer."""
    sections: list[Passage] = field(default_factory=list)
    """Sections whose words this answer has, where a model is to follow an instruction."""


class CallDialogue:
    """Implements `agent.dialogue.contracts.Dialogue`."""

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
        self._tongues = tongues
        self._first = first
        self._acting = Acting(actions, clock)
        self._clock = clock
        self._run = run
        self._phrases = phrases
        self._caller = caller
        self._phrasing = Phrasing(writer)
        self._writer = writer
        self._keeper = keeper
        self._state = CallState()
        self._profile: Profile = NOBODY
        settings = tongues[first].domain.manner.profile
        self._lookup = Lookup(actions, settings, clock, list(tongues), history)
        self._turn: CallerTurn | None = None
        self._previewing = False
        self._instructions: list[Instruction] = []

    @property
    def context(self) -> UnderstandingContext:
        """What the dialogue waits for now."""
        return self._here.machine.expecting(self._state).context

    @property
    def sensitive(self) -> bool:
        """Whether what is waited for is neither recorded nor shown."""
        return self._here.machine.expecting(self._state).sensitive

    @property
    def _here(self) -> Tongue:
        return self._tongues.get(self._state.language) or self._tongues[self._first]

    async def open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncIterator[Part]:
        """Greet, disclose (must be heard), offer help, or offer to go on where the line dropped."""
        self._caller = caller or self._caller
        await self._lookup.begin(self._caller)
        self._take_profile()
        earlier = await self._earlier()
        state, manner = self._state, self._here.domain.manner
        parts: list[Part] = [*self._here.machine.worded(state, "greeting", manner.greeting, self._today())]
        parts += [Say(text, must_hear=True) for line in manner.disclosures for text in sentences(line)]
        if earlier is not None:
            self._state = state = earlier
            state.pending = Pending("continue", (state.frames[0].flow,))
            parts += [Because({"rule": "continue"}), *self._here.machine.question(state, self._today())]
        else:
            parts += [Say(manner.offer, "warm"), Because({"rule": "greeting"}), self._here.machine.expecting(state)]
            state.reply.question = manner.offer
        async for part in self._give(parts):
            yield part

    def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """Answer one turn; see `Dialogue.respond`."""
        return self._respond(turn)

    async def _respond(self, turn: CallerTurn) -> AsyncGenerator[Part, None]:
        state, today = self._state, self._today()
        state.turn, self._turn = turn.number, turn
        before = self._here.language
        if turn.language in self._tongues:
            state.language = turn.language
        self._acting.actions.language = self._here.language
        if self._here.language != before:
            await self._read_again(today)
        self._take_profile()
        state.intents = [*state.intents, turn.understood.intent][-50:] if turn.text.strip() else state.intents
        if turn.text.strip():
            feel(state.feelings, self._here.emotion, turn.number, turn.understood.emotion, turn.voice)
            self._said("caller", f"({WITHHELD})" if self.sensitive else turn.text)
        if self._at_work(state):
            # The caller spoke while this flow was at work: what its action did is told as late news.
            self._here.machine.drop(state)
        telling = Telling(turn_facts(turn, state, self._here.emotion), len(self._acting.done))
        late = self._acting.take_late()
        reply = self._instructed(self._reply(turn, today, telling), today, telling)
        async with aclosing(self._with_late(late, reply, telling) if late else reply) as parts:
            async for part in parts:
                yield part
        telling.facts["emotion"] = emotion_facts(state.feelings, self._here.emotion)
        yield Because(telling.facts)

    async def _read_again(self, today: date) -> None:
        """The language changed: what open tasks learnt from actions is read again in it. What fails stays as it is."""
        for one in readings(self._here.domain, self._here.machine, self._state, today):
            if self._previewing and not self._acting.actions.spec(one.need.action).speculate:
                raise _NotForeseeable
            self._acts_for_caller()
            async with aclosing(self._acting.run(one.need)) as outcome:
                async for acted in outcome:
                    if acted is not None and acted.ok and (one.ok is None or acted.result.get(one.ok)):
                        one.frame.results[one.into] = dict(acted.result)

    async def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """What `respond` would answer, up to the first action that is not marked `speculate`; changes nothing.

        It works on a copy of the state; an action it runs keeps no trace in the call.
        """
        fork = copy.copy(self)
        fork._state = copy.deepcopy(self._state)
        fork._acting = self._acting.fork()
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
        machine = self._here.machine
        if outcome == "accepted":
            parts: list[Part] = [*machine.phrase(state, "handoff_accepted", self._today())]
        else:
            state.handed_off = None
            state.failures = state.unclear = 0
            state.frames.clear()
            state.wishes.clear()
            state.pending = Pending("more")
            parts = [*machine.phrase(state, f"handoff_{outcome}", self._today())]
            parts.append(machine.expecting(state))
        async for part in self._give([Because(facts), *parts]):
            yield part

    async def apology(self) -> AsyncIterator[Part]:
        """Words for the caller when a part of the agent failed, then a person."""
        machine = self._here.machine
        parts: list[Part] = [
            Because({"rule": "part_failed"}),
            *machine.phrase(self._state, "part_failed", self._today()),
            machine.leave(self._state, "a part of the agent failed", "part_failed", 1),
        ]
        async for part in self._give(parts):
            yield part

    def overheard(self, speaker: str, text: str, understood: Understood | None) -> None:
        """What is said while a person has the call; values the caller gives that open tasks ask for are learnt."""
        if text.strip():
            self._said(speaker, f"({WITHHELD})" if self.sensitive and speaker == "caller" else text.strip())
        if understood is None or self.sensitive:
            return
        state, domain = self._state, self._here.domain
        asked = {name for frame in state.frames for name in domain.asked(frame.flow)}
        for slot in understood.slots:
            if slot.name in asked and slot.confidence >= LIKELY:
                state.learn(slot.name, slot.value)

    async def handed_back(self, who: str, note: str) -> AsyncIterator[Part]:
        """Words for the caller when a person gave the call back.

        Open tasks are taken for done by that person, unless the note says to go on with them.
        """
        state, machine = self._state, self._here.machine
        state.handed_off = None
        state.failures = state.unclear = 0
        state.wishes.clear()
        if note:
            self._said("human", f"({note})")
        going_on = bool(state.frames) and goes_on(note)
        if not going_on:
            state.frames.clear()
            state.pending = Pending("more")
        parts: list[Part] = [
            Because({"rule": "handed_back", "by": who, "goes_on": going_on}),
            Say(BACK.get(base(self._here.language), BACK["en"]), "warm"),
            *machine.question(state, self._today()),
        ]
        async for part in self._give(parts):
            yield part

    def instruct(self, text: str) -> str:
        """Follow what a person at a console asks for in the next answer; see `agent.dialogue.instructing`."""
        instruction = read_instruction(text, self._phrasing.does("instruct"))
        self._instructions = [*self._instructions, instruction][-MOST_INSTRUCTIONS:]
        return instruction.told

    def runnable(self) -> list[dict[str, Any]]:
        """The actions whose arguments are known; see `agent.dialogue.contracts.Acts`."""
        state, actions, found = self._state, self._acting.actions, list[dict[str, Any]]()
        for name in sorted(actions.names):
            schema = actions.schema(name)
            if schema is None:
                continue
            required, arguments = schema.get("required", ()), dict[str, Any]()
            for argument, kind in schema.get("properties", {}).items():
                known = None if argument in state.sensitive else state.slots.get(argument)
                arguments[argument] = {
                    "type": kind.get("type", "string"),
                    "required": argument in required,
                    "value": None if known is None else known.value,
                }
            found.append({"name": name, "description": actions.spec(name).description or "", "arguments": arguments})
        return found

    async def act(self, name: str, arguments: Mapping[str, Any]) -> Acted:
        """Run an action for a person who has the call; see `agent.dialogue.contracts.Acts`."""
        schema = self._acting.actions.schema(name) if name in self._acting.actions.names else None
        if schema is None:
            raise ValueError(f"action {name[:60]!r} is none that can be run here")
        unknown = sorted(arguments.keys() - schema.get("properties", {}).keys())
        missing = sorted(set(schema.get("required", ())) - arguments.keys())
        if unknown or missing:
            wrong = [f"unknown: {', '.join(unknown)}"] if unknown else []
            wrong += [f"missing: {', '.join(missing)}"] if missing else []
            raise ValueError(f"arguments of action {name} are not its own; {'; '.join(wrong)}")
        self._acts_for_caller()
        outcome = [acted async for acted in self._acting.run(Need(name, dict(arguments))) if acted is not None]
        self._said("human", f"({name}: {'done' if outcome[-1].ok else 'failed'})")
        return outcome[-1]

    def snapshot(self) -> Snapshot:
        """The state as it is now."""
        return Snapshot(copy.deepcopy(self._state), len(self._acting.done), tuple(self._instructions))

    def restore(self, snapshot: Snapshot) -> None:
        """Take back a turn that nobody heard the answer of. What its actions did is told with the next answer."""
        self._state = copy.deepcopy(snapshot.state)
        self._instructions = list(snapshot.instructions) or self._instructions
        for acted in self._acting.done[snapshot.acted :]:
            if self._acting.actions.spec(acted.name).side_effects:
                self._acting.keep_late(acted)

    def heard(self, text: str, complete: bool) -> None:
        """What of the last answer the caller really heard."""
        reply = self._state.reply
        whole = " ".join(say.text for say in reply.says)
        reply.unheard = "" if complete else whole[min(len(text.strip()), len(whole)) :].strip()
        if text.strip():
            self._said("agent", text.strip())

    @property
    def may_record(self) -> bool:
        return True

    def use_tools(self, tools: Mapping[str, Tool]) -> None:
        for name, tool in tools.items():
            if name in self._acting.actions.names:
                self._acting.actions.elsewhere[name] = _done_by(tool)

    async def over(self) -> None:
        """The call is over. A task that a dropped line left open is kept for this caller's next call."""
        self._lookup.close()
        state = copy.deepcopy(self._state)
        if self._at_work(state) or self._acting.untold & self._changes(state):
            # What an action of this task did, or does, was not heard; it must not be done again by another call.
            self._here.machine.drop(state)
        domain = self._here.domain
        identity = domain.manner.identity.flow if domain.manner.identity else ""
        kept = taken_up(state, identity, domain.asked(identity) if identity else ())
        if self._keeper is not None and self._caller and worth_keeping(state) and kept.frames:
            await self._keeper.keep(domain.name, self._caller, to_json(kept))

    def summary(self) -> Mapping[str, Any]:
        """For handoff and records; see `agent.dialogue.summary.summarise`."""
        return summarise(self._here.domain, self._state, self._acting.done, self._caller)

    async def told(self) -> Mapping[str, Any]:
        """The summary, its paragraph put into words by a language model where one does that."""
        summary = dict(self.summary())
        summary["paragraph"] = await self._phrasing.paragraph(summary, self._state)
        return summary

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Every sentence of the domain without a variable part, with its tone."""
        return list(self._phrases)

    async def _reply(self, turn: CallerTurn, today: date, telling: Telling) -> AsyncGenerator[Part, None]:
        state, facts, here = self._state, telling.facts, self._here
        decision = here.policy.decide(state, turn, today)
        facts |= {"decision": decision.why, "rule": decision.rule}
        if decision.search:
            found = await self._find(turn.text, facts)
            decision = here.policy.after_search(state, turn, found, today)
            facts |= {"decision": decision.why, "rule": decision.rule}
            if decision.answers is not None and self._extracts(decision.answers, telling):
                decision.parts = [*_extract(decision.answers), *decision.parts]
            elif decision.answers is not None:
                async with aclosing(self._told(turn.text, decision.answers, telling)) as told:
                    async for part in told:
                        yield part
            elif decision.why == "clarify" and state.pending is not None:
                offers = [here.domain.flows[flow].offer for flow in state.pending.options]
                decision.parts = await self._worded(
                    "clarify",
                    lambda: self._phrasing.question(turn.text, offers, decision.parts, state, here.language),
                )
        facts |= self._where()
        parts: list[Part] = decision.parts
        running = decision.run
        if decision.act is not None:
            async with aclosing(self._act(Need(decision.act, {}), telling, tell=False)) as outcome:
                async for part in outcome:
                    yield part
        while running:
            more, stop = here.machine.advance(state, today)
            parts = [*parts, *more]
            facts |= self._where()
            running = isinstance(stop, Need) or stop in ("search", "proven")
            if isinstance(stop, Need):
                for part in self._planned(parts, telling, more=True):
                    yield part
                async with aclosing(self._act(stop, telling)) as outcome:
                    async for part in outcome:
                        yield part
                parts = []
            elif stop == "search":
                found = await self._find(state.frames[-1].words, facts)
                running = found is not None and found.answers
                if found is not None and running and self._extracts(found, telling):
                    parts += _extract(found)
                elif found is not None and running:
                    for part in self._planned(parts, telling):
                        yield part
                    async with aclosing(self._told(state.frames[-1].words, found, telling)) as told:
                        async for part in told:
                            yield part
                    parts = []
                parts += here.machine.answered(state, running, today)
                running = running or state.pending is None
            elif stop == "assist":
                for part in self._planned(parts, telling, more=True):
                    yield part
                parts = []
                answer: list[Part] = []
                async with aclosing(self._assisted(telling, answer, today)) as given:
                    async for part in given:
                        yield part
                parts = answer
                running = not any(isinstance(part, Expect) for part in parts)
            elif stop == "proven":
                parts += self._greeted(today)
            elif stop == "finished":
                parts += self._what_else(telling, today)
        if state.consents:
            facts["consents"] = {name: consent.agreed for name, consent in state.consents.items()}
        if telling.asked:
            async with aclosing(self._followed(parts, telling)) as followed:
                async for part in followed:
                    yield part
            return
        if self._phrasing.does("rephrase"):
            last = parts
            parts = await self._worded("rephrase", lambda: self._phrasing.reworded(last, state, here.language))
        for part in self._planned(parts, telling):
            yield part

    async def _instructed(
        self, reply: AsyncGenerator[Part, None], today: date, telling: Telling
    ) -> AsyncGenerator[Part, None]:
        """The answer, with what a person at a console asked for before it; a transfer goes in place of it."""
        if not self._instructions:
            async with aclosing(reply) as parts:
                async for part in parts:
                    yield part
            return
        if self._previewing:
            await reply.aclose()
            raise _NotForeseeable
        asked, self._instructions = self._instructions, []
        telling.asked = [one for one in asked if one.kind == "model"]
        telling.facts["instructed"] = done([one for one in asked if one.kind != "model"])
        first: list[Part] = []
        for one in asked:
            if one.kind == "apologise":
                first.insert(0, Say(sorry(self._here.language), "calm"))
            elif one.kind != "model" and one.words:
                first += [Say(text) for text in sentences(one.words)]
        if any(one.kind == "transfer" for one in asked):
            telling.facts["instructed"] = done(asked, "transferred")
            await reply.aclose()
            machine = self._here.machine
            says = machine.phrase(self._state, "handing_over", today)
            leaving = machine.leave(self._state, "a person at a console asked for it", "instructed", 1)
            for part in self._planned([*first, *says, leaving], telling):
                yield part
            return
        for part in self._planned(first, telling, more=True):
            yield part
        async with aclosing(reply) as parts:
            async for part in parts:
                yield part

    def _extracts(self, found: Found, telling: Telling) -> bool:
        """Whether an answer is given in the section's words: no model words it, or one words the whole answer later."""
        if telling.asked:
            telling.sections.append(found.fact)
        return bool(telling.asked) or not self._phrasing.does("answer")

    async def _followed(self, parts: list[Part], telling: Telling) -> AsyncGenerator[Part, None]:
        """The end of an answer as a language model words it for a person at a console; else as it is planned."""
        state, here, why = self._state, self._here, list[str]()
        asked = [one.words for one in telling.asked]
        for text in asked:
            found: Found | None = await self._run(partial(here.knowledge.find, text))
            if found is not None and found.fact not in telling.sections:
                telling.sections.append(found.fact)
        plan = planned(parts, state.reply.question)
        first = plan.changeable[0] if plan.changeable else Say("")
        wording: list[str] = []
        own: Say | None = None
        written = self._phrasing.instructed(
            asked,
            [say.text for say in plan.changeable],
            " ".join(say.text for say in plan.asked),
            telling.sections,
            state,
            here.language,
            why,
        )
        async with aclosing(written) as stream:
            async for text in stream:
                wording.append(text)
                say = replace(first, text=text, optional=False)
                if is_question(text):
                    own = say
                    continue
                for part in self._planned([say], telling, more=True):
                    yield part
        followed = done(telling.asked, None if wording else why[-1])
        telling.facts["instructed"] = [*telling.facts["instructed"], *followed]
        expect = None
        if own is not None and state.pending is not None and state.pending.kind == "more":
            # the caller answers the question that was wanted, not whether there is anything else
            state.pending, state.reply.question = Pending("asked", words=own.text), own.text
            expect = here.machine.expecting(state)
        rest = remaining(plan, wording, asked, own, expect) if wording else parts
        for part in self._planned(rest, telling):
            yield part

    async def _told(self, question: str, found: Found, telling: Telling) -> AsyncGenerator[Part, None]:
        """The answer found, sentence by sentence."""
        answer = self._phrasing.answer(question, found, self._state, self._here.language, telling.facts)
        if self._previewing and self._phrasing.does("answer"):
            raise _NotForeseeable
        async with aclosing(answer) as stream:
            async for text in stream:
                for part in self._planned([Say(text)], telling):
                    yield part

    async def _worded(self, use: Use, words: Callable[[], Awaitable[list[Part]]]) -> list[Part]:
        """What a model makes of the parts; a guess at a turn that may go on does not ask it."""
        if self._previewing and self._phrasing.does(use):
            raise _NotForeseeable
        return await words()

    def _planned(self, parts: list[Part], telling: Telling, *, more: bool = False) -> list[Part]:
        """`parts` as they will be given: suited to the caller's mood, and known to `heard` from now on.

        The whole batch is noted before its first part is given, since a barge-in may stop the giving anywhere.
        """
        state, planned = self._state, list[Part]()
        emotion = self._here.emotion
        acted = self._acting.done[telling.acted :]
        facts = facts_of(parts, acted, state.failures) if any(isinstance(part, Say) for part in parts) else TurnFacts()
        for part in shape(parts, state.feelings, emotion, state.turn, facts, state.pace, more=more):
            if isinstance(part, Expect):
                state.reply.expect = part
            if isinstance(part, Say):
                if not telling.began:
                    telling.began = True
                    state.reply.says = []
                    planned.append(Because(dict(telling.facts)))
                part = self._note(self._spoken(part))
            planned.append(part)
        return planned

    async def _act(self, need: Need, telling: Telling, *, tell: bool = True) -> AsyncGenerator[Part, None]:
        """Run an action for the machine, saying its filler where it takes long."""
        spec = self._acting.actions.spec(need.action)
        if self._previewing and not spec.speculate:
            raise _NotForeseeable
        self._acts_for_caller()
        async with aclosing(self._acting.run(need)) as outcome:
            async for acted in outcome:
                if acted is None:
                    for part in self._planned([Say(text) for text in sentences(self._filler(need.action))], telling):
                        yield part
                    continue
                if tell:
                    await self._hear_again(acted)
                    self._here.machine.result(self._state, acted.ok, acted.result)
                telling.facts.setdefault("actions", []).append(need.action)
                yield acted

    async def _hear_again(self, acted: Acted) -> None:
        """What else the caller may have said, where a check refused the value that was heard in this turn."""
        state, turn = self._state, self._turn
        step = self._here.machine.asking(state)
        if turn is None or turn.hear_again is None or self._previewing or not isinstance(step, AskStep):
            return
        said = turn.understood.slot(step.ask)
        refused = step.check is not None and acted.ok and not acted.result.get(step.check.ok)
        if not refused or said is None or state.others.get(step.ask):
            return
        known = state.slots.get(step.ask)
        if known is None or known.guessed or known.value != said.value:
            return
        self._turn = replace(turn, hear_again=None)
        try:
            others = await turn.hear_again()
        except Exception as error:
            log.warning("the turn was not heard again: %s", error, extra={"code": "not_heard_again"})
            return
        found = (slot.value for other in others if (slot := other.slot(step.ask)) is not None)
        state.others[step.ask] = [value for value in dict.fromkeys(found) if value != said.value]

    def _acts_for_caller(self) -> None:
        """Let actions know who was proven to call, and which values they may not show."""
        state = self._state
        self._acting.actions.customer = state.customer
        hidden = (state.slots[name].value for name in state.sensitive if name in state.slots)
        self._acting.hidden = frozenset(str(value) for value in hidden)

    async def _assisted(self, telling: Telling, answer: list[Part], today: date) -> AsyncGenerator[Part, None]:
        """Give what a language model does for the step's goal, and put the parts of its answer into `answer`."""
        if self._previewing:
            raise _NotForeseeable
        state, machine = self._state, self._here.machine
        step = machine.talking(state)
        if step is None:
            return
        self._acts_for_caller()
        assisting = Assisting(self._writer, self._acting, self._clock)
        async with aclosing(assisting.ask(step, state, self._here.language)) as asked:
            async for one in asked:
                if one is None:
                    for part in self._planned([Say(text) for text in sentences(step.filler or "")], telling, more=True):
                        yield part
                elif isinstance(one, Acted):
                    telling.facts.setdefault("actions", []).append(one.name)
                    yield one
                else:
                    telling.facts["assist"] = facts_of_help(one)
                    answer += machine.assisted(state, helped_by(one), today)

    async def _with_late(
        self, late: list[Acted], reply: AsyncGenerator[Part, None], telling: Telling
    ) -> AsyncGenerator[Part, None]:
        """What earlier actions did, before this turn's answer, unless this turn tells it itself."""
        async with aclosing(reply) as stream:
            parts = [part async for part in stream]
        told = {part.idempotency_key for part in parts if isinstance(part, Acted)}
        news: list[Say] = []
        manner = self._here.domain.manner
        for acted in late:
            if acted.idempotency_key in told:
                continue
            if acted not in self._acting.done:
                self._acting.done.append(acted)
            yield acted
            text = manner.actions[acted.name].late
            if acted.ok and text:
                scope = {
                    "today": self._today(), "business": manner.business, "language": manner.language,
                    "result": acted.result,
                }  # fmt: skip
                said = sentences(render(text, scope | dict(acted.arguments)))
                news += [self._spoken(Say(sentence)) for sentence in said]
        telling.facts["late"] = [acted.name for acted in late]
        self._state.reply.says[:0] = news
        for part in (*news, *parts):
            yield part

    def _greeted(self, today: date) -> list[Part]:
        """What may be said to a caller who has just proven who they are."""
        state = self._state
        profile, customer = self._profile, state.customer or {}
        name = customer.get("name")
        if isinstance(name, str) and name:
            theirs = profile.name is None or profile.name.casefold() == name.casefold()
            profile = replace(profile, name=name, known=True) if theirs else Profile(known=True, name=name)
        profile = self._lookup.with_past(profile, self._here.domain)
        upset = state.feelings.raised or state.feelings.sad
        parts: list[Part] = []
        busy = len(state.frames) > 1 or bool(state.wishes)
        for told in personal(profile, verified=True, busy=busy, upset=upset, language=self._here.language):
            parts += self._here.machine.phrase(state, told.phrase, today, **told.scope)
        return parts

    def _what_else(self, telling: Telling, today: date) -> list[Part]:
        """After a task: an offer that suits, or the question for anything else."""
        state, machine, manner = self._state, self._here.machine, self._here.domain.manner
        done = state.done[-1]
        acted = self._acting.done[telling.acted :]
        occasion = Occasion(
            done.flow,
            machine.scope(state, today) | done.results,
            all(one.ok for one in acted),
            [frame.flow for frame in state.frames],
            state.intents,
            state.offers_made,
            state.no_offers,
        )
        choice = choose_offer(manner.offers, occasion, self._profile, state.feelings, self._here.emotion)
        if choice.offer is not None:
            telling.facts["offer"] = choice.offer.name
            state.offers_made.append(choice.offer.name)
            if choice.offer.yes is not None:
                target = choice.offer.yes.removeprefix("flow:")
                words = render(choice.offer.say, dict(occasion.scope))
                state.pending = Pending("offer", (target,), words=words)
                return machine.question(state, today)
            remark: list[Part] = [Say(text) for text in sentences(render(choice.offer.say, dict(occasion.scope)))]
            state.pending = Pending("more")
            return [*remark, *machine.question(state, today)]
        if manner.offers:
            telling.facts["no_offer"] = choice.why
        state.pending = Pending("more")
        return machine.question(state, today)

    def _at_work(self, state: CallState) -> bool:
        """Whether the top flow waits for something else than the caller."""
        machine = self._here.machine
        idle = state.frame is None or state.pending is not None
        return not idle and machine.asking(state) is None and machine.talking(state) is None

    def _changes(self, state: CallState) -> set[str]:
        """Actions with side effects in the open task."""
        steps = [step for frame in state.frames for step in self._here.machine.flow(frame).steps]
        names = {step.call for step in steps if isinstance(step, CallStep)}
        names |= {name for step in steps if isinstance(step, AssistStep) for name in step.actions}
        return {name for name in names if self._here.domain.manner.actions[name].side_effects}

    def _take_profile(self) -> None:
        if self._lookup.profile is self._profile:
            return
        self._profile, state = self._lookup.profile, self._state
        state.pace = self._profile.pace if state.pace == 1.0 else state.pace
        if not state.language and self._profile.language:
            state.language = self._profile.language

    async def _earlier(self) -> CallState | None:
        if self._keeper is None or not self._caller:
            return None
        text = await self._keeper.take(self._here.domain.name, self._caller)
        if text is None:
            return None
        try:
            state = from_json(text)
        except StateError as error:
            log.warning("%s", error, extra={"code": "state"})
            return None
        known = all(frame.flow in self._here.domain.flows for frame in (*state.frames, *state.done))
        return state if state.frames and known else None

    async def _find(self, text: str, facts: dict[str, Any]) -> Found | None:
        state, knowledge = self._state, self._here.knowledge
        found: Found | None = await self._run(lambda: knowledge.find(text, about=state.topic or None))
        if found is not None:
            facts["knowledge"] = {
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

    async def _give(self, parts: list[Part]) -> AsyncIterator[Part]:
        parts = [self._spoken(part) if isinstance(part, Say) else part for part in parts]
        self._state.reply.says = [part for part in parts if isinstance(part, Say)]
        self._state.reply.unheard = ""
        for part in parts:
            if isinstance(part, Expect):
                self._state.reply.expect = part
        for part in parts:
            yield part

    def _spoken(self, say: Say) -> Say:
        return replace(say, gain_db=self._state.gain_db, language=self._here.language)

    def _note(self, say: Say) -> Say:
        self._state.reply.says.append(say)
        self._state.reply.unheard = ""
        return say

    def _filler(self, action: str) -> str:
        return self._here.domain.manner.actions[action].filler or ""

    def _said(self, who: str, text: str) -> None:
        self._state.history.append((who, text))
        del self._state.history[:-HISTORY]

    def _where(self) -> dict[str, Any]:
        frame = self._state.frame
        return {"flow": frame.flow, "step": frame.at} if frame else {}

    def _today(self) -> date:
        return self._clock.wall().date()


def _extract(found: Found) -> list[Part]:
    """The answer found, as its section says it."""
    return [Say(sentence) for sentence in sentences(found.answer)]


def _done_by(tool: Tool) -> Runnable:
    async def run(arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        return await tool(arguments)

    return run
