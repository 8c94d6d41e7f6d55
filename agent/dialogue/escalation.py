"""When a person must take over: rules of the domain, evaluated each turn. Pure."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from agent.dialogue.manner import EscalationRule, matches


@dataclass(frozen=True, slots=True)
class Signals:
    """What the rules look at: this turn's words and intent, and how long things have gone badly (turns in a row)."""

    text: str = ""
    intent: str = ""
    confidence: float = 0.0
    failures: int = 0
    angry_turns: int = 0
    sad_turns: int = 0
    silences: int = 0


def evaluate(
    rules: tuple[EscalationRule, ...], signals: Signals, offered: Set[str] = frozenset()
) -> EscalationRule | None:
    """The rule that applies: of those whose every condition holds, the one of highest priority, then the first.

    Rules that only offer a person are left out once they are in `offered`.
    """
    holding = [rule for rule in rules if _holds(rule, signals) and not (rule.offer and rule.name in offered)]
    return max(holding, key=lambda rule: (not rule.offer, rule.priority), default=None)


def _holds(rule: EscalationRule, signals: Signals) -> bool:
    return (
        (rule.intent is None or (signals.intent == rule.intent and signals.confidence >= rule.confidence))
        and (not rule.words or matches(rule.words, signals.text))
        and (rule.failures is None or signals.failures >= rule.failures)
        and (rule.angry_turns is None or signals.angry_turns >= rule.angry_turns)
        and (rule.sad_turns is None or signals.sad_turns >= rule.sad_turns)
        and (rule.silences is None or signals.silences >= rule.silences)
    )
