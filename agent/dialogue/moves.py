"""What a decision is made of: the moves that every part of the policy shares. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from agent.dialogue.contracts import CallerTurn, HangUp, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.knowledge import Found
from agent.dialogue.machine import FlowMachine
from agent.dialogue.manner import EscalationRule, matches
from agent.dialogue.state import MOST_WISHES, CallState, Pending, Wish
from agent.dialogue.steps import AnswerStep, AskStep
from models.contracts import OUT_OF_SCOPE, Said, Slot, Understood

SOFT_INTENTS = frozenset(
    {
        OUT_OF_SCOPE, "give_information", "affirm", "deny", "wait", "repeat", "thanks", "greeting", "small_talk",
        "goodbye",
    }
)  # fmt: skip
"""Intents that a slot value in the same words outweighs ("no wait, I meant 42718")."""


LIKELY = 0.5
"""Confidence of a slot's parser below which a value counts only where it was asked for."""


@dataclass
class Decision:
    """Parts to give out now, then: `run` the flows, `search` the knowledge for a turn not understood, or neither.

    act: an action without arguments that is run besides. answers: what was found, to be told before the parts.
    """

    parts: list[Part] = field(default_factory=list)
    run: bool = False
    search: bool = False
    why: str = ""
    rule: str | None = None
    act: str | None = None
    answers: Found | None = None


class Moves:
    """Moves of a domain's dialogue; holds no state of a call."""

    def __init__(self, domain: Domain, machine: FlowMachine) -> None:
        self.domain = domain
        self.machine = machine

    def says(self, state: CallState, phrase: str, today: date, /, **scope: Any) -> list[Part]:
        """The sentences of a phrase."""
        return [*self.machine.wordings.phrase(state, phrase, today, **scope)]

    def strong(self, understood: Understood, least: float | None = None) -> bool:
        """Whether an intent is sure enough to act on."""
        least = self.domain.manner.understanding.switch if least is None else least
        return understood.intent != OUT_OF_SCOPE and understood.confidence >= least

    def settled(self, turn: CallerTurn) -> CallerTurn:
        """`turn` without the sentence that only leads on to what it asks for ("this is ridiculous, I want ...")."""
        understood = turn.understood
        if len(understood.wishes) < 2:
            return turn
        asking = [said for said in understood.wishes if not self._leads_on(said.intent)]
        if not asking or asking[0].intent == understood.intent:
            return turn
        first = asking[0]
        return replace(turn, understood=replace(understood, intent=first.intent, confidence=first.confidence))

    def _asks_only(self, flow: str) -> bool:
        """Whether a flow answers a question; two questions in one breath are two wishes."""
        return isinstance(self.domain.flows[flow].steps[0], AnswerStep)

    def _leads_on(self, intent: str) -> bool:
        spec = self.domain.intents.get(intent)
        return spec is not None and spec.leads_on

    def values(self, turn: CallerTurn, asked: str | None = None) -> dict[str, Any]:
        """The slot values of a turn that the domain knows, `asked` being the slot that was asked for.

        A vague value that nobody asked for ("next week") is none. Words are one value only, the longest ("March third
        nineteen eighty" is no month), and of equally long ones that which was asked for; an address or free words take
        nothing from what was asked for.
        """
        known = self.domain.slots
        slots = [
            slot
            for slot in turn.understood.slots
            if slot.name in known and (slot.name == asked or slot.confidence >= LIKELY)
        ]

        def outdone(slot: Slot) -> bool:
            return any(
                other is not slot
                and other.name != slot.name
                and slot.span[0] < other.span[1]
                and other.span[0] < slot.span[1]
                and not (slot.name == asked and known[other.name].type in ("address", "text"))
                and (_length(other), other.name == asked) > (_length(slot), slot.name == asked)
                for other in slots
            )

        return {slot.name: slot.value for slot in slots if not outdone(slot)}

    def leave(
        self, state: CallState, reason: str, rule: str, priority: int, today: date, words: list[Say] | None = None
    ) -> Decision:
        """Hand the call to a person."""
        says = words or self.machine.wordings.phrase(state, "handing_over", today)
        return Decision([*says, self.machine.leave(state, reason, rule, priority)], why="hand off", rule=rule)

    def escalate(self, state: CallState, rule: EscalationRule, today: date) -> Decision:
        """Do what an escalation rule says: call a person, or offer one."""
        words = self.machine.wordings.worded(state, f"rule.{rule.name}", rule.say, today) if rule.say else []
        if rule.offer:
            state.offered.add(rule.name)
            state.pending = Pending("person", rule=rule.name, reason=rule.reason, priority=rule.priority)
            return Decision([*words, *self.machine.questions.put(state, today)], why="offer a person", rule=rule.name)
        return self.leave(state, rule.reason, rule.name, rule.priority, today, list(words))

    def hang_up(self, state: CallState, phrase: str, reason: str, today: date) -> Decision:
        """Say goodbye and end the call."""
        state.closed = True
        return Decision([*self.machine.wordings.phrase(state, phrase, today), HangUp(reason)], why=reason)

    def repeat(self, state: CallState, today: date) -> Decision:
        """Say the last answer again."""
        if not state.reply.says:
            return Decision(self.machine.questions.put(state, today), why="repeat")
        return Decision(
            [*state.reply.says, state.reply.expect or self.machine.questions.expecting(state)], why="repeat"
        )

    def start(self, state: CallState, turn: CallerTurn, flow: str, words: str = "") -> Decision:
        """Open a flow with what the caller said; what else was asked for in the same breath is kept for later."""
        frame = state.frame
        asked = self.machine.frames.asking(state)
        values = self.values(self._own_part(turn, flow), asked.ask if isinstance(asked, AskStep) else None)
        if frame is not None and frame.flow != flow and not self._asks_only(flow):
            answers = isinstance(asked, AskStep) and asked.ask in values
            if answers or matches(self.domain.manner.listening.instead, turn.text):
                self.machine.frames.drop(state)
        state.pending = None
        state.failures = state.unclear = 0
        known = list(self.domain.asked(flow))
        for name, value in values.items():
            if name in known or name in self.domain.manner.remember:
                state.learn(name, value)
        self.keep_others(state, turn, known)
        if not words and turn.understood.wishes and self._asks_only(flow):
            words = next((said.text for said in turn.understood.wishes if self.domain.flow_of(said.intent) == flow), "")
        self.machine.frames.open(state, flow, words or turn.text)
        self._keep_wishes(state, turn, flow, words)
        return Decision(run=True, why=f"flow {flow}")

    def _own_part(self, turn: CallerTurn, flow: str) -> CallerTurn:
        """`turn` without a value in the words of another wish, where the wish for `flow` has its own of that name."""
        understood = turn.understood
        own = next((said for said in understood.wishes if self.domain.flow_of(said.intent) == flow), None)
        if own is None:
            return turn
        mine = {slot.name for slot in understood.slots if within(slot, own)}
        others = [said for said in understood.wishes if said is not own]
        kept = [
            slot
            for slot in understood.slots
            if slot.name not in mine or not any(within(slot, other) for other in others)
        ]
        return replace(turn, understood=replace(understood, slots=tuple(kept)))

    def keep_others(self, state: CallState, turn: CallerTurn, names: list[str]) -> None:
        """Keep the other values that the recognizer's hypotheses have for the slots `names`."""
        for name in names:
            said = turn.understood.slot(name)
            if said is None:
                continue
            found: list[Any] = []
            for other in turn.others:
                slot = other.slot(name)
                if slot is not None and slot.value != said.value and slot.value not in found:
                    found.append(slot.value)
            state.others[name] = found[:3]

    def question_unheard(self, state: CallState) -> bool:
        """Whether less than 70 % of the open question was heard."""
        question, unheard = state.reply.question, state.reply.unheard
        if not question or not unheard:
            return False
        return min(len(unheard), len(question)) > 0.3 * len(question)

    def _keep_wishes(self, state: CallState, turn: CallerTurn, opened: str, words: str) -> None:
        """Other wishes of the turn, in their order; a sentence that leads on ("this is ridiculous") is none."""
        for said in turn.understood.wishes:
            flow = self.domain.flow_of(said.intent)
            open_flows = {opened, *(wish.flow for wish in state.wishes)}
            if flow is not None and flow == opened and self._asks_only(flow) and said.text != words:
                open_flows.discard(flow)
            if flow is None or flow in open_flows or self._leads_on(said.intent):
                continue
            inside = {
                slot.name: slot.value
                for slot in turn.understood.slots
                if within(slot, said) and slot.name in self.domain.slots
            }
            if len(state.wishes) < MOST_WISHES:
                state.wishes.append(Wish(flow, said.text, inside))


def within(slot: Slot, said: Said) -> bool:
    """Whether a value was found in the words of this wish."""
    return said.start <= slot.span[0] < said.start + len(said.text)


def _length(slot: Slot) -> int:
    return slot.span[1] - slot.span[0]
