"""How the caller wants to be spoken to: slower, faster, louder, in another language, without offers. Pure."""

from __future__ import annotations

from datetime import date

from agent.dialogue.contracts import CallerTurn, Say
from agent.dialogue.manner import matches
from agent.dialogue.moves import Decision, Moves
from agent.dialogue.state import CallState, Pending
from models.languages import asked_for

SLOWEST, FASTEST, STEP = 0.7, 1.3, 0.15
"""Bounds and step of the pace; Piper and Kokoro stay clear within them."""
LOUDEST_DB, LOUDER_DB = 9.0, 4.5
"""Most gain and its step; speech is synthesized at about -20 dBFS, so that this much fits without clipping."""
MOST_WORDS = 12
"""A wish about speaking is short; longer turns are about something else that uses such a word."""


def speaking_wish(moves: Moves, state: CallState, turn: CallerTurn, today: date) -> Decision | None:
    """Speak as the caller asks, and say the last answer again that way; None where nothing of it was asked for."""
    listening = moves.domain.manner.listening
    if len(turn.text.split()) > MOST_WORDS or len(turn.text) > 80:
        return None
    flow = moves.domain.flow_of(turn.understood.intent)
    if flow is not None and moves.strong(turn.understood, moves.domain.manner.understanding.certain):
        return None
    if asked_for(turn.text) == moves.domain.manner.language and not turn.understood.slots:
        question = moves.machine.questions.put(state, today)
        if not any(isinstance(part, Say) for part in question):
            question = [*moves.says(state, "what_is_it", today), *question]
        return Decision(question, why="asked for this language")
    if matches(listening.slower, turn.text):
        state.pace = max(SLOWEST, round(state.pace - STEP, 2))
        return _again(moves, state, "slower", today)
    if matches(listening.louder, turn.text):
        state.gain_db = min(LOUDEST_DB, state.gain_db + LOUDER_DB)
        return _again(moves, state, "louder", today)
    if matches(listening.no_offers, turn.text):
        state.no_offers = True
        if state.pending is not None and state.pending.kind == "offer":
            state.pending = Pending("more")
        says = moves.says(state, "offers_stopped", today)
        question = moves.machine.questions.put(state, today)
        return Decision([*says, *question], why="no offers", act=moves.domain.manner.offers_opt_out)
    if matches(listening.faster, turn.text):
        state.pace = min(FASTEST, round(state.pace + STEP, 2))
        return Decision([*moves.says(state, "faster", today), *moves.machine.questions.put(state, today)], why="faster")
    return None


def _again(moves: Moves, state: CallState, phrase: str, today: date) -> Decision:
    return Decision([*moves.says(state, phrase, today), *moves.repeat(state, today).parts], why=phrase)
