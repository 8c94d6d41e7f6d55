"""What one caller turn does to the dialogue: pure decisions, before and between the flow engine's steps."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

from agent.dialogue.contracts import CallerTurn, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.escalation import Signals, evaluate
from agent.dialogue.knowledge import Found
from agent.dialogue.machine import FlowMachine
from agent.dialogue.manner import EscalationRule, matches
from agent.dialogue.moves import SOFT_INTENTS, Decision, Moves
from agent.dialogue.own_questions import OwnQuestions, said_yes
from agent.dialogue.speaking import speaking_wish
from agent.dialogue.state import CallState, Pending
from agent.dialogue.steps import AnswerStep, AskStep, ConfirmStep
from agent.dialogue.text import choose_option, look_up, sentences
from models.contracts import OUT_OF_SCOPE, Understood

MORE = 2
"""Sentences of a section that are said at a time."""
_ASKS = re.compile(
    r"\?|^\W*(?:and |but |so |okay |well )*(?:how|what|when|where|who|which|why|can|could|do|does|is|are|will|would)\b"
    r"|[吗呢？]|多少|多久|怎么|什么|为什么",
    re.IGNORECASE,
)
"""A question is no yes to a confirmation, even one about the same task ("how long does a new card take?")."""
SURE = 0.6
"""Confidence of a slot's parser from which a value is not read back; parsers give 0.5 to what may be another word."""


class Policy:
    """Decides for a domain; holds no state of a call."""

    def __init__(self, domain: Domain, machine: FlowMachine) -> None:
        self._domain = domain
        self._machine = machine
        self._frames = machine.frames
        self._questions = machine.questions
        self._moves = Moves(domain, machine)
        self._own = OwnQuestions(self._moves)

    def decide(self, state: CallState, turn: CallerTurn, today: date) -> Decision:
        """Take one caller turn into `state`."""
        patient, state.patient = state.patient, False
        if turn.silence:
            return self._silence(state, turn, today, patient)
        state.silences = 0
        if state.handed_off is not None:
            return Decision([*self._moves.says(state, "still_connecting", today), state.handed_off], why="handed_off")
        if turn.dtmf:
            return self._keys(state, turn, turn.dtmf, today)
        turn = self._moves.settled(turn)
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
            return self._moves.escalate(state, rule, today)
        return (
            speaking_wish(self._moves, state, turn, today)
            or self._another(state, turn, today)
            or self._own.pending(state, turn, today)
            or self._never_mind(state, turn, today)
            or self._talk(state, turn)
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
            question = self._questions.put(state, today)
            return Decision(question, why=f"answered from {found.source}", answers=found)
        if state.pending is not None and state.pending.kind == "asked":
            return self._own.told(state, today)
        rule = self._rule(state, turn)
        if rule is not None:
            return self._moves.escalate(state, rule, today)
        if self._frames.asking(state) is not None and state.pending is None:
            self._frames.missed(state)
            return Decision(self._moves.says(state, "not_heard", today), run=True, why="no answer to the question")
        if state.unclear >= 2:
            state.pending = Pending("person", rule="not_understood", reason="the request was not understood")
            return Decision(
                [*self._moves.says(state, "no_answer", today), *self._questions.put(state, today)],
                why="offer a person",
            )
        options = self._plausible(turn.understood)
        if options:
            state.pending = Pending("clarify", options, words=turn.text)
            return Decision(self._questions.put(state, today), why="clarify")
        state.pending = None
        return Decision(
            [*self._moves.says(state, "not_understood", today), self._questions.expecting(state)],
            why="not understood",
        )

    def _silence(self, state: CallState, turn: CallerTurn, today: date, patient: bool) -> Decision:
        state.silences = turn.silence
        if state.handed_off is not None:
            return Decision(
                [*self._moves.says(state, "still_connecting", today), state.handed_off], why="silence while connecting"
            )
        if patient and turn.silence == 1:
            state.patient = True
            return Decision(
                [*self._moves.says(state, "take_your_time", today), self._questions.expecting(state)],
                why="asked to wait",
            )
        rule = evaluate(self._domain.manner.escalation, Signals(silences=turn.silence), state.offered)
        if rule is not None:
            return self._moves.escalate(state, rule, today)
        if turn.silence == 1:
            question = self._questions.put(state, today)
            if not any(isinstance(part, Say) for part in question):
                state.pending = Pending("more")
                question = self._questions.put(state, today)
            return Decision(question, why="silence: asked again")
        if turn.silence == 2:
            state.pending = Pending("person", rule="silence", reason="the caller stayed silent")
            return Decision(self._questions.put(state, today), why="silence: offered a person")
        return self._moves.hang_up(state, "silence_goodbye", "silence", today)

    def _keys(self, state: CallState, turn: CallerTurn, keys: str, today: date) -> Decision:
        digits = "".join(key for key in keys if key.isdigit())
        step = self._frames.asking(state)
        limits = self._domain.digits(step.ask) if isinstance(step, AskStep) and state.pending is None else None
        if isinstance(step, AskStep) and limits is not None and (digits or state.keys):
            state.keys += digits
            low, high = limits
            if len(state.keys) < low and "#" not in keys:
                return Decision(
                    [*self._moves.says(state, "more_digits", today), self._questions.expecting(state)],
                    why="keys so far",
                )
            value, state.keys = state.keys, ""
            if low <= len(value) <= high:
                state.learn(step.ask, value)
                return Decision(run=True, why="keys")
            self._frames.missed(state)
            return self._failed(state, turn, today, run=True, why="wrong number of keys")
        if keys == "*":
            return self._moves.repeat(state, today)
        if digits == "0":
            return self._moves.leave(state, "the caller pressed 0", "asked_for_person", 1, today)
        if digits in ("1", "2") and (state.pending is not None or isinstance(step, ConfirmStep)):
            return self._own.yes_no(state, turn, digits == "1", today) or self._unclear(state, turn, today)
        return self._failed(state, turn, today, run=False, why="keys mean nothing here")

    def _unheard(self, state: CallState, turn: CallerTurn, today: date) -> Decision:
        if self._frames.asking(state) is not None and state.pending is None:
            self._frames.missed(state)
            return self._failed(state, turn, today, run=True, why="not heard")
        return self._failed(state, turn, today, run=False, why="not heard")

    def _failed(self, state: CallState, turn: CallerTurn, today: date, *, run: bool, why: str) -> Decision:
        state.failures += 1
        rule = self._rule(state, turn)
        if rule is not None:
            return self._moves.escalate(state, rule, today)
        parts = self._moves.says(state, "not_heard", today)
        return Decision(parts if run else [*parts, *self._questions.put(state, today)], run=run, why=why)

    def _rule(self, state: CallState, turn: CallerTurn) -> EscalationRule | None:
        understood = turn.understood
        signals = Signals(
            turn.text,
            understood.intent,
            understood.confidence,
            state.failures,
            state.feelings.angry_turns,
            state.feelings.sad_turns,
        )
        asked = isinstance(self._frames.asking(state), ConfirmStep) or state.pending is not None
        refused = understood.slot("yes_no")
        if asked and refused is not None and refused.value is False and signals.intent == "human":
            signals = replace(signals, intent="")  # "no, I don't need a person"
        answers = (asked and said_yes(understood) is not None) or (state.pending and state.pending.kind == "person")
        offered = _All() if answers else state.offered
        return evaluate(self._domain.manner.escalation, signals, offered)

    def _never_mind(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        if state.frame is None or not matches(self._domain.manner.listening.never_mind, turn.text):
            return None
        if isinstance(self._frames.asking(state), ConfirmStep) and said_yes(turn.understood) is False:
            return None
        title = self._frames.flow(self._frames.drop(state)).title
        state.wishes.clear()
        says = self._machine.wordings.phrase(state, "never_mind", today, title=title)
        if state.frame is not None:
            return Decision([*says], run=True, why="never mind")
        state.pending = Pending("more")
        return Decision([*says, *self._questions.put(state, today)], why="never mind")

    def _talk(self, state: CallState, turn: CallerTurn) -> Decision | None:
        """Words for the model that talks with the caller, unless they plainly are for somebody else."""
        frame, understood, settings = state.frame, turn.understood, self._domain.manner.understanding
        proposed = state.pending is not None and state.pending.kind == "proposal"
        if frame is None or self._frames.talking(state) is None or not (proposed or state.pending is None):
            return None
        if understood.intent in ("repeat", "wait", "goodbye") and self._moves.strong(understood, settings.minimum):
            return None
        flow = self._domain.flow_of(understood.intent)
        if flow not in (None, frame.flow) and self._moves.strong(understood, settings.certain):
            return None
        state.pending = None
        return Decision(run=True, why="talks with a model")

    def _another(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        """ "The other order", "another order": a change of a value without saying the new one."""
        understood, listening = turn.understood, self._domain.manner.listening
        target = self._domain.flow_of(understood.intent) if self._moves.strong(understood) else None
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
        asked = self._frames.asking(state)
        taken = isinstance(asked, AskStep) and understood.intent in asked.takes
        elsewhere = (
            target is not None
            and self._moves.strong(understood)
            and not taken
            and (frame is None or target != frame.flow)
        )
        if elsewhere and understood.intent not in SOFT_INTENTS:
            return None
        values = self._moves.values(turn, asked.ask if isinstance(asked, AskStep) else None)
        if frame is not None:
            mine = {name: value for name, value in values.items() if self._frames.asks(frame, name) is not None}
            for name in values.keys() - mine.keys():
                if any(self._frames.asks(below, name) is not None for below in state.frames[:-1]):
                    state.learn(name, values[name])
            later = all((self._frames.asks(frame, name) or 0) > frame.at for name in mine)
            if isinstance(asked, ConfirmStep) and said_yes(understood) is True and later:
                for name, value in mine.items():
                    state.learn(name, value)
                return None
            if mine:
                state.pending = None
                return self._filled(state, turn, mine, today)
        elif target is None or not self._moves.strong(understood):
            for name, value in values.items():
                if name in self._domain.manner.default_flows:
                    state.pending = None
                    changed = state.learn(name, value)
                    decision = self._reopened(state, turn, name, None)
                    if changed:
                        decision.parts = self._moves.says(state, "corrected", today)
                    return decision
        return None

    def _filled(self, state: CallState, turn: CallerTurn, values: dict[str, Any], today: date) -> Decision | None:
        asked = self._frames.asking(state)
        expected = asked.ask if isinstance(asked, AskStep) else None
        doubted = self._doubted(state, turn, asked, today)
        if doubted is not None:
            return doubted
        self._moves.keep_others(state, turn, list(values))
        changed = False
        news = False
        for name, value in values.items():
            if name in state.slots and state.slots[name].value == value:
                continue
            news = True
            corrected = state.learn(name, value)
            changed |= corrected and name != expected
            if corrected or name == expected:
                self._frames.refill(state, name)
        if not news:
            return None
        return Decision(self._moves.says(state, "corrected", today) if changed else [], run=True, why="slot filled")

    def _doubted(self, state: CallState, turn: CallerTurn, asked: Any, today: date) -> Decision | None:
        """Read back the value that was asked for, where it was heard with little confidence and nothing checks it."""
        if not isinstance(asked, AskStep) or asked.check is not None or asked.sensitive:
            return None
        slot = turn.understood.slot(asked.ask)
        if slot is None or (turn.confident and slot.confidence >= SURE):
            return None
        self._moves.keep_others(state, turn, [slot.name])
        state.pending = Pending("read_back", slot=slot.name, value=slot.value)
        return Decision(self._questions.put(state, today), why="heard with little confidence")

    def _reopened(self, state: CallState, turn: CallerTurn, slot: str, target: str | None) -> Decision:
        state.pending = None
        if target is None and state.frame is not None and self._frames.refill(state, slot):
            return Decision(run=True, why=f"another {slot}")
        if target is None:
            target = next(
                (f.flow for f in reversed(state.done) if not f.within and slot in self._domain.asked(f.flow)), None
            )
        target = target or self._domain.manner.default_flows.get(slot)
        if target is None:
            return Decision(run=True, why=f"another {slot}")
        self._frames.open(state, target, turn.text)
        self._frames.refill(state, slot)
        return Decision(run=True, why=f"{slot} for {target}")

    def _answer(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        """The answer to the open question, other than a slot that understanding found."""
        step, understood = self._frames.asking(state), turn.understood
        if isinstance(step, ConfirmStep):
            yes = said_yes(understood)
            frame = state.frames[-1]
            same = self._domain.flow_of(understood.intent) == frame.flow and self._moves.strong(understood)
            if yes is None and same and not _ASKS.search(turn.text):
                yes = None if matches(self._domain.manner.listening.negation, turn.text) else True
            return None if yes is None else self._own.confirmed(state, turn, yes, today)
        if not isinstance(step, AskStep) or state.pending is not None:
            return None
        if step.accept != "text" and matches(self._domain.manner.listening.unknown, turn.text):
            state.pending = Pending("person", rule="caller_does_not_know", reason=f"the caller lacks the {step.ask}")
            return Decision(
                [*self._moves.says(state, "no_matter", today), *self._questions.put(state, today)],
                why="does not know",
            )
        if step.accept == "slot":
            return None
        if step.accept == "option":
            options = look_up(self._machine.wordings.scope(state, today), str(step.options)) or []
            value: Any = choose_option(turn.text, options)
        else:
            target = self._domain.flow_of(understood.intent)
            leads_away = understood.intent not in step.takes and (
                (target is not None and target != state.frames[-1].flow and self._moves.strong(understood))
                or understood.intent
                in SOFT_INTENTS - {OUT_OF_SCOPE, "give_information", "small_talk", "affirm", "deny"}
                or (understood.intent in ("affirm", "deny") and understood.slot("yes_no") is not None)
            )
            value = None if leads_away else turn.text.strip()
        if value is None:
            return None
        state.learn(step.ask, value)
        return Decision(run=True, why="answered")

    def _social(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        if matches(self._domain.manner.listening.go_on, turn.text):
            rest: list[Part] = [Say(sentence) for sentence in sentences(state.reply.unheard)]
            if rest:
                return Decision([*rest, self._questions.expecting(state)], why="go on")
            question = self._questions.put(state, today)
            if state.more:
                told, state.more = state.more[:MORE], state.more[MORE:]
                return Decision([*(Say(sentence) for sentence in told), *question], why="tells more")
            if not any(isinstance(part, Say) for part in question):
                question = [*self._moves.says(state, "what_is_it", today), *question]
            return Decision(question, why="go on")
        intent = turn.understood.intent
        if not self._moves.strong(turn.understood, self._domain.manner.understanding.minimum):
            return None
        if intent == "repeat":
            return self._moves.repeat(state, today)
        if intent == "wait":
            state.patient = True
            return Decision(
                [*self._moves.says(state, "take_your_time", today), self._questions.expecting(state)],
                why="asked to wait",
            )
        if intent == "goodbye" and self._leaves(state, turn):
            return self._moves.hang_up(state, "goodbye", "goodbye", today)
        if intent == "deny" and state.frame is None and state.done:
            return self._moves.hang_up(state, "goodbye", "nothing else", today)
        phrase = {"thanks": "welcome", "greeting": "hello", "small_talk": "small_talk", "affirm": "what_is_it"}.get(
            intent
        )
        if phrase is None or (intent == "affirm" and state.frame is not None):
            return None
        if intent == "thanks" and state.frame is None:
            state.pending = Pending("more")
        says = self._moves.says(state, phrase, today)
        if self._frames.asking(state) is None and state.pending is None:
            return Decision([*says, self._questions.expecting(state)], why=intent)
        return Decision([*says, *self._questions.put(state, today)], why=intent)

    def _leaves(self, state: CallState, turn: CallerTurn) -> bool:
        """Whether a goodbye ends the call; in the middle of a task it must be plain."""
        manner = self._domain.manner
        sure = turn.understood.confidence >= manner.understanding.certain
        return state.frame is None or sure or matches(manner.listening.goodbye, turn.text)

    def _flow(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        understood, settings = turn.understood, self._domain.manner.understanding
        flow = self._domain.flow_of(understood.intent)
        if flow is None or not self._moves.strong(
            understood, settings.minimum if state.frame is None else settings.switch
        ):
            return None
        if state.frame is not None and state.frame.flow == flow and self._frames.asking(state) is not None:
            return None if state.pending is None else Decision(run=True, why="back to the question")
        return self._moves.start(state, turn, flow)

    def _unclear(self, state: CallState, turn: CallerTurn, today: date) -> Decision:
        waiting = isinstance(self._frames.asking(state), AskStep) and state.pending is None
        if waiting and turn.understood.intent in ("affirm", "deny", "give_information"):
            return self._unheard(state, turn, today)
        state.failures += 1
        state.unclear += 1
        return Decision(search=True, why="not understood")

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


class _All(frozenset[str]):
    """Every name: while a person is being offered, or a question is answered, nothing offers one again."""

    def __contains__(self, item: object) -> bool:
        return True
