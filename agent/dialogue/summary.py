"""What a person needs to know of a call, from the state alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent.dialogue.contracts import Acted
from agent.dialogue.domain import Domain
from agent.dialogue.reasons import WITHHELD
from agent.dialogue.state import CallState
from agent.dialogue.verdict import judge


def summarise(domain: Domain, state: CallState, acted: Sequence[Acted], caller: str | None) -> Mapping[str, Any]:
    """JSON-ready: verdict {topic, negative}, reason, paragraph, intent, slots {name: {value, verified}}, emotion
    series, actions, language.
    """
    intent = next((name for name in reversed(state.intents) if domain.flow_of(name) is not None), None)
    changes = [one for one in acted if domain.manner.actions[one.name].side_effects]
    titles = [domain.flows[frame.flow].title for frame in state.done]
    lines = [f"Caller {caller}." if caller else "Caller with no number."]
    if titles:
        lines.append(f"Spoke about {', then '.join(dict.fromkeys(titles))}.")
    if state.frame is not None:
        lines.append(f"Now in {domain.flows[state.frame.flow].title}, not finished.")
    for name, known in state.slots.items():
        if name in state.sensitive:
            continue
        lines.append(
            f"{name.replace('_', ' ').capitalize()} {known.value}{'' if known.verified else ' (not verified)'}."
        )
    for one in changes:
        values = ", ".join(str(value) for value in one.arguments.values() if value is not None)
        lines.append(f"{one.name.replace('_', ' ').capitalize()} ({values}): {'done' if one.ok else 'failed'}.")
    if state.feelings.series:
        peak = max(state.feelings.series, key=lambda one: one.anger)
        if peak.anger >= domain.manner.emotion.upset:
            now = "still upset" if state.feelings.anger >= domain.manner.emotion.upset else "calmer now"
            lines.append(f"The caller got angry in turn {peak.turn} and is {now}.")
    if state.handed_off:
        lines.append(f"Handed over because: {state.handed_off.reason}.")
    begun = [frame.flow for frame in (*state.done, *state.frames)]
    wished = [flow for intent in state.intents if (flow := domain.flow_of(intent)) is not None]
    # Wished for and begun; else begun; else wished for, as by an angry caller who gets a person first.
    flows = [*(flow for flow in wished if flow in begun), *begun, *wished]
    identity = domain.manner.identity.flow if domain.manner.identity else None
    return {
        "verdict": asdict(judge(state.feelings, domain.manner.emotion, flows, identity)),
        "reason": state.handed_off.reason if state.handed_off else None,
        "paragraph": " ".join(lines),
        "intent": intent,
        "slots": {
            name: {"value": WITHHELD if name in state.sensitive else known.value, "verified": known.verified}
            for name, known in state.slots.items()
        },
        "customer": state.customer,
        "consents": {
            name: {"agreed": one.agreed, "turn": one.turn, "question": one.question, "words": one.words}
            for name, one in state.consents.items()
        },
        "emotion": [
            {
                "turn": one.turn,
                "label": one.label,
                "reading": one.reading,
                "anger": one.anger,
                "activation": one.activation,
            }
            for one in state.feelings.series
        ],
        "actions": [
            {"name": one.name, "arguments": dict(one.arguments), "ok": one.ok, "result": dict(one.result)}
            for one in acted
        ],
        "language": state.language or domain.manner.language,
    }
