"""What one caller turn does to the dialogue: pure decisions, before and between the flow engine's steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from agent.dialogue.contracts import CallerTurn, HangUp, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.escalation import Signals, evaluate
from agent.dialogue.knowledge import Found
from agent.dialogue.machine import FlowMachine
from agent.dialogue.manner import EscalationRule, matches
from agent.dialogue.state import CallState, Pending
from agent.dialogue.steps import AnswerStep, AskStep, ConfirmStep
from agent.dialogue.text import choose_option, look_up, sentences
from models.contracts import OUT_OF_SCOPE, Understood

SOFT_INTENTS = frozenset(
    {
        OUT_OF_SCOPE, "give_information", "affirm", "deny", "wait", "repeat", "thanks", "greeting", "small_talk",
        "goodbye",
    }
)  # fmt: skip
"""Intents that a slot value in the same words outweighs ("no wait, I meant 42718")."""


@dataclass
class Decision:
    """Parts to give out now, then: `run` the flows, `search` the knowledge for a turn not understood, or neither."""

    parts: list[Part] = field(default_factory=list)
    run: bool = False
    search: bool = False
    why: str = ""
    rule: str | None = None


class Policy:
    """Decides for a domain; holds no state of a call."""

    def __init__(self, domain: Domain, machine: FlowMachine) -> None:
        self._domain = domain
        self._machine = machine

    def decide(self, state: CallState, turn: CallerTurn, today: date) -> Decision:
        """Take one caller turn into `state`."""
        patient, state.patient = state.patient, False
        if turn.silence:
            return self._silence(state, turn, today, patient)
        state.silences = 0
        if state.handed_off is not None:
            return Decision([*self._says(state, "still_connecting", today), state.handed_off], why="handed_off")
        if turn.dtmf:
            return self._keys(state, turn, turn.dtmf, today)
        understood = turn.understood
        if not turn.text.strip() or (
            not turn.confident
            and understood.confidence < self._domain.manner.understanding.certain
            and not understood.slots
        ):
            return self._unheard(state, turn, today)
        state.keys = ""
        rule = self._rule(state, turn)
        if rule is not None:
            return self._escalate(state, rule, today)
        return (
            self._another(state, turn, today)
            or self._pending(state, turn, today)
            or self._never_mind(state, turn, today)
            or self._slots(state, turn, today)
            or self._answer(state, turn, today)
            or self._social(state, turn, today)
            or self._flow(state, turn, today)
            or self._unclear(state, turn, today)
        )

    def after_search(self, state: CallState, turn: CallerTurn, found: Found | None, today: date) -> Decision:
        """Go on with a turn that was not understood, now that the knowledge was searched."""
        if found is not None and (found.strong or (found.answers and state.unclear >= 2)):
            state.failures = state.unclear = 0
            state.pending = state.pending if state.pending and state.pending.kind == "person" else None
            if state.frame is None and state.pending is None:
                state.pending = Pending("more")
            elif state.frame is not None:
                state.frame.resumed = True
            parts: list[Part] = [Say(sentence) for sentence in sentences(found.fact.text)]
            return Decision([*parts, *self._machine.question(state, today)], why=f"answered from {found.fact.source}")
        rule = self._rule(state, turn)
        if rule is not None:
            return self._escalate(state, rule, today)
        if self._machine.asking(state) is not None and state.pending is None:
            self._machine.missed(state)
            return Decision(self._says(state, "not_heard", today), run=True, why="no answer to the question")
        if state.unclear >= 2:
            state.pending = Pending("person", rule="not_understood", reason="the request was not understood")
            return Decision(
                [*self._says(state, "no_answer", today), *self._machine.question(state, today)], why="offer a person"
            )
        options = self._plausible(turn.understood)
        if options:
            state.pending = Pending("clarify", options, words=turn.text)
            return Decision(self._machine.question(state, today), why="clarify")
        state.pending = None
        return Decision(
            [*self._says(state, "not_understood", today), self._machine.expecting(state)], why="not understood"
        )

    def _silence(self, state: CallState, turn: CallerTurn, today: date, patient: bool) -> Decision:
        state.silences = turn.silence
        if state.handed_off is not None:
            return Decision(
                [*self._says(state, "still_connecting", today), state.handed_off], why="silence while connecting"
            )
        if patient and turn.silence == 1:
            state.patient = True
            return Decision(
                [*self._says(state, "take_your_time", today), self._machine.expecting(state)], why="asked to wait"
            )
        rule = evaluate(self._domain.manner.escalation, Signals(silences=turn.silence), state.offered)
        if rule is not None:
            return self._escalate(state, rule, today)
        if turn.silence == 1:
            question = self._machine.question(state, today)
            if not any(isinstance(part, Say) for part in question):
                state.pending = Pending("more")
                question = self._machine.question(state, today)
            return Decision(question, why="silence: asked again")
        if turn.silence == 2:
            state.pending = Pending("person", rule="silence", reason="the caller stayed silent")
            return Decision(self._machine.question(state, today), why="silence: offered a person")
        return self._hang_up(state, "silence_goodbye", "silence", today)

    def _keys(self, state: CallState, turn: CallerTurn, keys: str, today: date) -> Decision:
        digits = "".join(key for key in keys if key.isdigit())
        step = self._machine.asking(state)
        limits = self._domain.digits(step.ask) if isinstance(step, AskStep) and state.pending is None else None
        if isinstance(step, AskStep) and limits is not None and (digits or state.keys):
            state.keys += digits
            low, high = limits
            if len(state.keys) < low and "#" not in keys:
                return Decision(
                    [*self._says(state, "more_digits", today), self._machine.expecting(state)], why="keys so far"
                )
            value, state.keys = state.keys, ""
            if low <= len(value) <= high:
                state.learn(step.ask, value)
                return Decision(run=True, why="keys")
            self._machine.missed(state)
            return self._failed(state, turn, today, run=True, why="wrong number of keys")
        if keys == "*":
            return self._repeat(state, today)
        if digits == "0":
            return self._leave(state, "the caller pressed 0", "asked_for_person", 1, today)
        if digits in ("1", "2") and (state.pending is not None or isinstance(step, ConfirmStep)):
            return self._yes_no(state, turn, digits == "1", today) or self._unclear(state, turn, today)
        return self._failed(state, turn, today, run=False, why="keys mean nothing here")

    def _unheard(self, state: CallState, turn: CallerTurn, today: date) -> Decision:
        if self._machine.asking(state) is not None and state.pending is None:
            self._machine.missed(state)
            return self._failed(state, turn, today, run=True, why="not heard")
        return self._failed(state, turn, today, run=False, why="not heard")

    def _failed(self, state: CallState, turn: CallerTurn, today: date, *, run: bool, why: str) -> Decision:
        state.failures += 1
        rule = self._rule(state, turn)
        if rule is not None:
            return self._escalate(state, rule, today)
        parts = self._says(state, "not_heard", today)
        return Decision(parts if run else [*parts, *self._machine.question(state, today)], run=run, why=why)

    def _rule(self, state: CallState, turn: CallerTurn) -> EscalationRule | None:
        understood = turn.understood
        signals = Signals(
            turn.text, understood.intent, understood.confidence, state.failures, state.feelings.angry_turns
        )
        offered = state.offered if state.pending is None or state.pending.kind != "person" else _All()
        return evaluate(self._domain.manner.escalation, signals, offered)

    def _escalate(self, state: CallState, rule: EscalationRule, today: date) -> Decision:
        words = self._machine.worded(state, f"rule.{rule.name}", rule.say, today) if rule.say else []
        if rule.offer:
            state.offered.add(rule.name)
            state.pending = Pending("person", rule=rule.name, reason=rule.reason, priority=rule.priority)
            return Decision([*words, *self._machine.question(state, today)], why="offer a person", rule=rule.name)
        return self._leave(state, rule.reason, rule.name, rule.priority, today, list(words))

    def _leave(
        self, state: CallState, reason: str, rule: str, priority: int, today: date, words: list[Say] | None = None
    ) -> Decision:
        says = words or self._machine.phrase(state, "handing_over", today)
        return Decision([*says, self._machine.leave(state, reason, rule, priority)], why="hand off", rule=rule)

    def _hang_up(self, state: CallState, phrase: str, reason: str, today: date) -> Decision:
        state.closed = True
        return Decision([*self._machine.phrase(state, phrase, today), HangUp(reason)], why=reason)

    def _pending(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        if state.pending is None:
            return None
        yes = said_yes(turn.understood)
        if yes is not None and not (self._changes(state, turn) and turn.understood.intent != "affirm"):
            return self._yes_no(state, turn, yes, today)
        if state.pending.kind == "clarify" and self._strong(turn.understood, 0.0):
            flow = self._domain.flow_of(turn.understood.intent)
            if flow in state.pending.options:
                return self._start(state, turn, str(flow))
        return None

    def _yes_no(self, state: CallState, turn: CallerTurn, yes: bool, today: date) -> Decision | None:
        pending = state.pending
        if pending is None:
            return self._confirmed(state, turn, yes, today)
        if pending.kind != "more" and self._question_unheard(state):
            return Decision(self._machine.question(state, today), why="question was not heard")
        state.pending = None
        if pending.kind == "person":
            state.failures = state.unclear = 0
            if yes:
                return self._leave(state, pending.reason, pending.rule, pending.priority, today)
            says = self._says(state, "person_declined", today)
            if state.frame is not None:
                state.frame.resumed = True
                return Decision(says, run=True, why="no person wanted")
            state.pending = Pending("more")
            return Decision([*says, *self._machine.question(state, today)], why="no person wanted")
        if pending.kind == "clarify":
            if yes and len(pending.options) == 1:
                return self._start(state, turn, pending.options[0], pending.words)
            return Decision(
                [*self._says(state, "what_is_it", today), self._machine.expecting(state)], why="clarify: declined"
            )
        if yes:
            return Decision([*self._says(state, "what_is_it", today), self._machine.expecting(state)], why="more: yes")
        return self._hang_up(state, "goodbye", "nothing else", today)

    def _never_mind(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        if state.frame is None or not matches(self._domain.manner.listening.never_mind, turn.text):
            return None
        title = self._machine.flow(self._machine.close(state)).title
        says = self._machine.phrase(state, "never_mind", today, title=title)
        if state.frame is not None:
            return Decision([*says], run=True, why="never mind")
        state.pending = Pending("more")
        return Decision([*says, *self._machine.question(state, today)], why="never mind")

    def _another(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        """ "The other order", "another order": a change of a value without saying the new one."""
        understood, listening = turn.understood, self._domain.manner.listening
        target = self._domain.flow_of(understood.intent) if self._strong(understood) else None
        for name in (*listening.another, *listening.other):
            if understood.slot(name) is not None or name not in state.slots:
                continue
            past = state.earlier.get(name, [])
            if matches(listening.other.get(name, ()), turn.text) and len(past) == 1:
                state.learn(name, past[0])
            elif matches((*listening.other.get(name, ()), *listening.another.get(name, ())), turn.text):
                state.forget(name)
            else:
                continue
            return self._reopened(state, turn, name, target)
        return None

    def _slots(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        """A value for the open flow, a correction of it, or of the flow that was just answered."""
        understood = turn.understood
        target = self._domain.flow_of(understood.intent)
        frame = state.frame
        asked = self._machine.asking(state)
        taken = isinstance(asked, AskStep) and understood.intent in asked.takes
        elsewhere = (
            target is not None and self._strong(understood) and not taken and (frame is None or target != frame.flow)
        )
        if elsewhere and understood.intent not in SOFT_INTENTS:
            return None
        values = {slot.name: slot.value for slot in understood.slots if slot.name in self._domain.slots}
        if frame is not None:
            mine = {name: value for name, value in values.items() if self._machine.flow(frame).asks(name) is not None}
            if mine:
                state.pending = None
                return self._filled(state, turn, mine, today)
        elif target is None or not self._strong(understood):
            for name, value in values.items():
                if name in self._domain.manner.default_flows:
                    state.pending = None
                    changed = state.learn(name, value)
                    decision = self._reopened(state, turn, name, None)
                    if changed:
                        decision.parts = self._says(state, "corrected", today)
                    return decision
        return None

    def _filled(self, state: CallState, turn: CallerTurn, values: dict[str, Any], today: date) -> Decision | None:
        asked = self._machine.asking(state)
        expected = asked.ask if isinstance(asked, AskStep) else None
        changed = False
        news = False
        for name, value in values.items():
            if name in state.slots and state.slots[name].value == value:
                continue
            news = True
            corrected = state.learn(name, value)
            changed |= corrected and name != expected
            if corrected or name == expected:
                self._machine.refill(state, name)
        if not news:
            return None
        return Decision(self._says(state, "corrected", today) if changed else [], run=True, why="slot filled")

    def _reopened(self, state: CallState, turn: CallerTurn, slot: str, target: str | None) -> Decision:
        state.pending = None
        if target is None and state.frame is not None and self._machine.refill(state, slot):
            return Decision(run=True, why=f"another {slot}")
        if target is None:
            target = next(
                (f.flow for f in reversed(state.done) if self._domain.flows[f.flow].asks(slot) is not None), None
            )
        target = target or self._domain.manner.default_flows.get(slot)
        if target is None:
            return Decision(run=True, why=f"another {slot}")
        self._machine.open(state, target, turn.text)
        self._machine.refill(state, slot)
        return Decision(run=True, why=f"{slot} for {target}")

    def _answer(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        """The answer to the open question, other than a slot that understanding found."""
        step, understood = self._machine.asking(state), turn.understood
        if isinstance(step, ConfirmStep):
            yes = said_yes(understood)
            frame = state.frames[-1]
            same = self._domain.flow_of(understood.intent) == frame.flow and self._strong(understood)
            if yes is None and same and not matches(self._domain.manner.listening.negation, turn.text):
                yes = True
            return None if yes is None else self._confirmed(state, turn, yes, today)
        if not isinstance(step, AskStep) or state.pending is not None:
            return None
        if step.accept != "text" and matches(self._domain.manner.listening.unknown, turn.text):
            state.pending = Pending("person", rule="caller_does_not_know", reason=f"the caller lacks the {step.ask}")
            return Decision(
                [*self._says(state, "no_matter", today), *self._machine.question(state, today)], why="does not know"
            )
        if step.accept == "slot":
            return None
        if step.accept == "option":
            options = look_up(self._machine.scope(state, today), str(step.options)) or []
            value: Any = choose_option(turn.text, options)
        else:
            target = self._domain.flow_of(understood.intent)
            leads_away = understood.intent not in step.takes and (
                (target is not None and target != state.frames[-1].flow and self._strong(understood))
                or understood.intent in SOFT_INTENTS - {OUT_OF_SCOPE, "give_information", "small_talk"}
            )
            value = None if leads_away else turn.text.strip()
        if value is None:
            return None
        state.learn(step.ask, value)
        return Decision(run=True, why="answered")

    def _confirmed(self, state: CallState, turn: CallerTurn, yes: bool, today: date) -> Decision | None:
        if not isinstance(self._machine.asking(state), ConfirmStep):
            return None
        if yes and (self._question_unheard(state) or not (turn.confident or turn.dtmf)):
            return Decision(self._machine.question(state, today), why="question was not heard")
        state.pending = None
        state.failures = state.unclear = 0
        self._machine.confirmed(state, yes)
        return Decision(run=True, why="yes" if yes else "no")

    def _social(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        if matches(self._domain.manner.listening.go_on, turn.text):
            rest: list[Part] = [Say(sentence) for sentence in sentences(state.reply.unheard)]
            if rest:
                return Decision([*rest, self._machine.expecting(state)], why="go on")
            return Decision(self._machine.question(state, today), why="go on")
        intent = turn.understood.intent
        if not self._strong(turn.understood, self._domain.manner.understanding.minimum):
            return None
        if intent == "repeat":
            return self._repeat(state, today)
        if intent == "wait":
            state.patient = True
            return Decision(
                [*self._says(state, "take_your_time", today), self._machine.expecting(state)], why="asked to wait"
            )
        if intent == "goodbye":
            return self._hang_up(state, "goodbye", "goodbye", today)
        if intent == "deny" and state.frame is None and state.done:
            return self._hang_up(state, "goodbye", "nothing else", today)
        phrase = {"thanks": "welcome", "greeting": "hello", "small_talk": "small_talk", "affirm": "what_is_it"}.get(
            intent
        )
        if phrase is None or (intent == "affirm" and state.frame is not None):
            return None
        if intent == "thanks" and state.frame is None:
            state.pending = Pending("more")
        says = self._says(state, phrase, today)
        if self._machine.asking(state) is None and state.pending is None:
            return Decision([*says, self._machine.expecting(state)], why=intent)
        return Decision([*says, *self._machine.question(state, today)], why=intent)

    def _flow(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        understood, settings = turn.understood, self._domain.manner.understanding
        flow = self._domain.flow_of(understood.intent)
        if flow is None or not self._strong(understood, settings.minimum if state.frame is None else settings.switch):
            return None
        if state.frame is not None and state.frame.flow == flow and self._machine.asking(state) is not None:
            return None if state.pending is None else Decision(run=True, why="back to the question")
        return self._start(state, turn, flow)

    def _start(self, state: CallState, turn: CallerTurn, flow: str, words: str = "") -> Decision:
        frame = state.frame
        asked = self._machine.asking(state)
        values = {slot.name: slot.value for slot in turn.understood.slots if slot.name in self._domain.slots}
        if frame is not None and frame.flow != flow:
            answers = isinstance(asked, AskStep) and asked.ask in values
            if answers or matches(self._domain.manner.listening.instead, turn.text):
                self._machine.close(state)
        state.pending = None
        state.failures = state.unclear = 0
        known = [step.ask for step in self._domain.flows[flow].steps if isinstance(step, AskStep)]
        for name, value in values.items():
            if name in known or name in self._domain.manner.remember:
                state.learn(name, value)
        self._machine.open(state, flow, words or turn.text)
        return Decision(run=True, why=f"flow {flow}")

    def _unclear(self, state: CallState, turn: CallerTurn, today: date) -> Decision:
        state.failures += 1
        state.unclear += 1
        return Decision(search=True, why="not understood")

    def _repeat(self, state: CallState, today: date) -> Decision:
        if not state.reply.says:
            return Decision(self._machine.question(state, today), why="repeat")
        return Decision([*state.reply.says, state.reply.expect or self._machine.expecting(state)], why="repeat")

    def _says(self, state: CallState, phrase: str, today: date) -> list[Part]:
        return [*self._machine.phrase(state, phrase, today)]

    def _strong(self, understood: Understood, least: float | None = None) -> bool:
        least = self._domain.manner.understanding.switch if least is None else least
        return understood.intent != OUT_OF_SCOPE and understood.confidence >= least

    def _plausible(self, understood: Understood) -> tuple[str, ...]:
        """Flows worth asking about: the likeliest, and a second one close to it. Not those that only search: that
        was done in vain.
        """
        least = self._domain.manner.understanding.plausible
        found: list[tuple[str, float]] = []
        for intent, probability in understood.ranking:
            flow = self._domain.flow_of(intent)
            if flow is None or isinstance(self._domain.flows[flow].steps[0], AnswerStep):
                continue
            if probability >= least and flow not in [name for name, _ in found]:
                found.append((flow, probability))
        return tuple(name for name, probability in found[:2] if probability >= 0.6 * found[0][1])

    def _changes(self, state: CallState, turn: CallerTurn) -> bool:
        known = state.slots
        return any(
            slot.name in self._domain.manner.default_flows
            and (slot.name not in known or known[slot.name].value != slot.value)
            for slot in turn.understood.slots
        )

    def _question_unheard(self, state: CallState) -> bool:
        """Whether less than 70 % of the open question was heard."""
        question, unheard = state.reply.question, state.reply.unheard
        if not question or not unheard:
            return False
        return min(len(unheard), len(question)) > 0.3 * len(question)


def said_yes(understood: Understood) -> bool | None:
    """Whether the caller said yes, no, or neither."""
    slot = understood.slot("yes_no")
    if slot is not None and isinstance(slot.value, bool) and understood.intent in (*SOFT_INTENTS, "affirm", "deny"):
        return slot.value
    return {"affirm": True, "deny": False}.get(understood.intent)


class _All(frozenset[str]):
    """Every name: while a person is being offered, nothing offers one again."""

    def __contains__(self, item: object) -> bool:
        return True
