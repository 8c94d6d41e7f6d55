"""What a person on the call says, does and leaves to the agent; see `agent.dialogue.contracts.Acts`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from agent.dialogue.answering import Answering
from agent.dialogue.contracts import Acted, CallerTurn, Part, Say
from agent.dialogue.instructing import BACK, goes_on
from agent.dialogue.moves import LIKELY
from agent.dialogue.needs import Need
from agent.dialogue.ongoing import Ongoing
from agent.dialogue.reasons import WITHHELD
from agent.dialogue.state import Pending
from agent.dialogue.telling import Telling
from models.contracts import OUT_OF_SCOPE, Understood
from models.languages import base


def overheard(on: Ongoing, speaker: str, text: str, understood: Understood | None) -> None:
    """What is said while a person has the call; values the caller gives that open tasks ask for are learnt."""
    if text.strip():
        on.said(speaker, f"({WITHHELD})" if on.sensitive and speaker == "caller" else text.strip())
    if understood is None or on.sensitive:
        return
    state, domain = on.state, on.here.domain
    asked = {name for frame in state.frames for name in domain.asked(frame.flow)}
    for slot in understood.slots:
        if slot.name in asked and slot.confidence >= LIKELY:
            state.learn(slot.name, slot.value)


async def handed_back(on: Ongoing, who: str, note: str) -> AsyncGenerator[Part, None]:
    """Words for the caller when a person gave the call back.

    Open tasks are taken for done by that person, unless the note says to go on with them: then they do, with what the
    caller told that person.
    """
    state = on.state
    state.handed_off = None
    state.failures = state.unclear = 0
    state.wishes.clear()
    if note:
        on.said("human", f"({note})")
    going_on = bool(state.frames) and goes_on(note)
    if not going_on:
        state.frames.clear()
        state.pending = Pending("more")
    telling = Telling(on, {"rule": "handed_back", "by": who, "goes_on": going_on})
    parts: list[Part] = [Say(BACK.get(base(on.here.language), BACK["en"]), "warm")]
    if state.pending is not None:
        parts += on.here.machine.questions.put(state, on.today)
    nothing_said = CallerTurn(state.turn, "", Understood(OUT_OF_SCOPE, 0.0))
    answering = Answering(on, telling, nothing_said, on.today)
    async with aclosing(answering.going_on(parts, running=state.pending is None)) as rest:
        async for part in rest:
            yield part


def runnable(on: Ongoing) -> list[dict[str, Any]]:
    """The actions whose arguments are known."""
    state, actions, found = on.state, on.acting.actions, list[dict[str, Any]]()
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


async def act(on: Ongoing, name: str, arguments: Mapping[str, Any]) -> Acted:
    """Run an action for a person who has the call.

    Raises:
        ValueError: there is no such action, or the arguments are not its own.
    """
    actions = on.acting.actions
    schema = actions.schema(name) if name in actions.names else None
    if schema is None:
        raise ValueError(f"action {name[:60]!r} is none that can be run here")
    unknown = sorted(arguments.keys() - schema.get("properties", {}).keys())
    missing = sorted(set(schema.get("required", ())) - arguments.keys())
    if unknown or missing:
        wrong = [f"unknown: {', '.join(unknown)}"] if unknown else []
        wrong += [f"missing: {', '.join(missing)}"] if missing else []
        raise ValueError(f"arguments of action {name} are not its own; {'; '.join(wrong)}")
    on.acts_for_caller()
    outcome = [acted async for acted in on.acting.run(Need(name, dict(arguments))) if acted is not None]
    on.said("human", f"({name}: {'done' if outcome[-1].ok else 'failed'})")
    return outcome[-1]
