"""Answers to yes-or-no questions: those of a flow, and the dialogue's own. Pure."""

from __future__ import annotations

from datetime import date

from agent.dialogue.contracts import CallerTurn
from agent.dialogue.manner import matches
from agent.dialogue.moves import SOFT_INTENTS, Decision, Moves
from agent.dialogue.state import CallState, Pending, Proposed
from agent.dialogue.steps import ConfirmStep
from models.contracts import Understood

LEAVING = ("more", "offer", "continue", "last_topic", "asked")
"""Questions that a goodbye answers, whatever yes or no it comes with ("okay, that's it, bye")."""
THANKFUL = 0.6
"""Probability of thanks from which "okay, thank you" is no yes to "anything else?"."""

BARE_NO = 2
"""Words of a no that says nothing more ("no thanks")."""


class OwnQuestions:
    """What a yes or a no does."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._machine = moves.machine
        self._frames = moves.machine.frames
        self._questions = moves.machine.questions

    def pending(self, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
        """An answer to the dialogue's own question, if this turn is one."""
        pending = state.pending
        if pending is None:
            return None
        understood = turn.understood
        yes = said_yes(understood)
        new = self._new_value(state, turn, pending) if pending.slot else None
        if new is not None:
            return new
        if pending.kind in LEAVING and self._leaves(turn):
            return self._moves.hang_up(state, "goodbye", "goodbye", today)
        if pending.kind == "more" and yes and dict(understood.ranking).get("thanks", 0.0) >= THANKFUL:
            says = self._moves.says(state, "welcome", today)
            return Decision([*says, *self._questions.put(state, today)], why="thanks")
        news = self._changes(state, turn) and (understood.intent != "affirm" or pending.kind == "more")
        if yes is not None and not news:
            return self.yes_no(state, turn, yes, today)
        if pending.kind == "clarify" and self._moves.strong(understood, 0.0):
            flow = self._moves.domain.flow_of(understood.intent)
            if flow in pending.options:
                return self._moves.start(state, turn, str(flow))
        return None

    def yes_no(self, state: CallState, turn: CallerTurn, yes: bool, today: date) -> Decision | None:
        """Take a yes or a no; None where neither was asked for."""
        pending = state.pending
        if pending is None:
            return self.confirmed(state, turn, yes, today)
        if pending.kind != "more" and self._moves.question_unheard(state):
            return Decision(self._questions.put(state, today), why="question was not heard")
        state.pending = None
        if pending.kind == "person":
            return self._person(state, pending, yes, today)
        if pending.kind == "clarify":
            if yes and len(pending.options) == 1:
                return self._moves.start(state, turn, pending.options[0], pending.words)
            return self._listen(state, "what_is_it", "clarify: declined", today)
        if pending.kind in ("read_back", "did_you_mean"):
            return self._value(state, pending, yes)
        if pending.kind == "continue":
            if yes:
                if state.frame is not None:
                    state.frame.resumed = False
                return Decision(run=True, why="goes on with the earlier call")
            state.frames.clear()
            state.slots.clear()
            return self._listen(state, "what_is_it", "does not go on", today)
        if pending.kind == "last_topic":
            if yes and pending.options:
                return self._moves.start(state, turn, pending.options[0], pending.words)
            return self._listen(state, "what_is_it", "the earlier matter" if yes else "another matter", today)
        if pending.kind == "proposal":
            return self._proposal(state, turn, pending, yes, today)
        if pending.kind == "offer":
            if yes and pending.options:
                return self._moves.start(state, turn, pending.options[0], turn.text)
            state.pending = Pending("more")
            return Decision(self._questions.put(state, today), why="offer taken" if yes else "offer declined")
        if pending.kind == "asked":
            return self.told(state, today)
        if yes:
            return self._listen(state, "what_is_it", "more: yes", today)
        return self._moves.hang_up(state, "goodbye", "nothing else", today)

    def told(self, state: CallState, today: date) -> Decision:
        """Take any answer to a question that a person at a console wanted asked; that person reads it."""
        state.pending = Pending("more")
        return Decision(self._questions.put(state, today), why="answered what a person asked")

    def confirmed(self, state: CallState, turn: CallerTurn, yes: bool, today: date) -> Decision | None:
        """Take the answer to a confirm step; a yes counts only where the question was heard and so was the yes."""
        if not isinstance(self._frames.asking(state), ConfirmStep):
            return None
        if yes and (self._moves.question_unheard(state) or not (turn.confident or turn.dtmf)):
            return Decision(self._questions.put(state, today), why="question was not heard")
        state.pending = None
        state.failures = state.unclear = 0
        self._machine.confirmed(state, yes, turn.text or turn.dtmf or "")
        return Decision(run=True, why="yes" if yes else "no")

    def _leaves(self, turn: CallerTurn) -> bool:
        """Whether the caller says goodbye, perhaps with thanks and a yes or no ("okay, that's it, bye")."""
        understood, manner = turn.understood, self._moves.domain.manner
        if dict(understood.ranking).get("goodbye", 0.0) >= manner.understanding.minimum:
            return True
        idle = understood.intent in SOFT_INTENTS or not self._moves.strong(understood)
        return idle and matches(manner.listening.goodbye, turn.text)

    def _person(self, state: CallState, pending: Pending, yes: bool, today: date) -> Decision:
        state.failures = state.unclear = 0
        if yes:
            return self._moves.leave(state, pending.reason, pending.rule, pending.priority, today)
        says = self._moves.says(state, "person_declined", today)
        if state.frame is not None:
            state.frame.resumed = True
            return Decision(says, run=True, why="no person wanted")
        state.pending = Pending("more")
        return Decision([*says, *self._questions.put(state, today)], why="no person wanted")

    def _value(self, state: CallState, pending: Pending, yes: bool) -> Decision:
        """The value that was read back is right, or is asked for again."""
        if yes:
            state.learn(pending.slot, pending.value, verified=True)
            known = state.slots.get(pending.slot)
            if known is not None:
                known.verified, known.guessed = True, False
            return Decision(run=True, why="read back: yes")
        state.slots.pop(pending.slot, None)
        self._frames.refill(state, pending.slot)
        rest = state.others.get(pending.slot, [])
        if pending.kind == "read_back" and rest:
            state.pending = Pending("did_you_mean", slot=pending.slot, value=rest.pop(0))
            return Decision(run=True, why="read back: no, another hypothesis")
        state.others.pop(pending.slot, None)
        self._frames.missed(state)
        return Decision(run=True, why="read back: no")

    def _proposal(self, state: CallState, turn: CallerTurn, pending: Pending, yes: bool, today: date) -> Decision:
        """What a model proposed is done only for a yes that was surely heard; words beside a no are for the model."""
        if yes and not (turn.confident or turn.dtmf):
            state.pending = pending
            return Decision(self._questions.put(state, today), why="question was not heard")
        if yes and state.frame is not None:
            state.frame.agreed = Proposed(**pending.value)
            return Decision(run=True, why="proposal: yes")
        if len(turn.text.split()) > BARE_NO:
            return Decision(run=True, why="proposal: no, and more")
        return self._listen(state, "what_is_it", "proposal: no", today)

    def _new_value(self, state: CallState, turn: CallerTurn, pending: Pending) -> Decision | None:
        """Said another value instead of yes or no ("no, 42718")."""
        slot = turn.understood.slot(pending.slot)
        if slot is None or slot.value == pending.value:
            return None
        state.pending = None
        state.learn(pending.slot, slot.value)
        self._frames.refill(state, pending.slot)
        return Decision(run=True, why="read back: another value")

    def _listen(self, state: CallState, phrase: str, why: str, today: date) -> Decision:
        return Decision([*self._moves.says(state, phrase, today), self._questions.expecting(state)], why=why)

    def _changes(self, state: CallState, turn: CallerTurn) -> bool:
        known = state.slots
        return any(
            slot.name in self._moves.domain.manner.default_flows
            and (slot.name not in known or known[slot.name].value != slot.value)
            for slot in turn.understood.slots
        )


def said_yes(understood: Understood) -> bool | None:
    """Whether the caller said yes, no, or neither."""
    slot = understood.slot("yes_no")
    if slot is not None and slot.value is False and understood.intent == "human":
        return False  # "no, I don't need a person"
    if slot is not None and isinstance(slot.value, bool) and understood.intent in (*SOFT_INTENTS, "affirm", "deny"):
        return slot.value
    return {"affirm": True, "deny": False}.get(understood.intent)
