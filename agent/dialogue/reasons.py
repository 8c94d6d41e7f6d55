"""Why an answer was given, as JSON-ready facts for records and operators. Pure."""

from __future__ import annotations

from typing import Any

from agent.dialogue.contracts import CallerTurn
from agent.dialogue.emotion import upset
from agent.dialogue.feelings import Feelings
from agent.dialogue.manner import EmotionSettings
from agent.dialogue.state import CallState

WITHHELD = "withheld"
"""Stands for the value of a slot that is neither recorded nor shown."""


def turn_facts(turn: CallerTurn, state: CallState, settings: EmotionSettings) -> dict[str, Any]:
    """What was understood of a turn."""
    understood = turn.understood
    facts: dict[str, Any] = {
        "intent": understood.intent,
        "confidence": round(understood.confidence, 3),
        "ranking": [[name, round(probability, 3)] for name, probability in understood.ranking[:3]],
        "slots": {slot.name: WITHHELD if slot.name in state.sensitive else slot.value for slot in understood.slots},
        "emotion": emotion_facts(state.feelings, settings),
    }
    if understood.wishes:
        facts["wishes"] = [[said.intent, said.text] for said in understood.wishes]
    if state.language:
        facts["language"] = state.language
    return facts


def emotion_facts(feelings: Feelings, settings: EmotionSettings) -> dict[str, Any]:
    """How the caller feels and how that is met."""
    label = feelings.series[-1].label if feelings.series else "neutral"
    return {
        "label": label,
        "anger": round(feelings.anger, 3),
        "angry_turns": feelings.angry_turns,
        "upset": upset(feelings, settings),
        "stance": feelings.stance,
    }
