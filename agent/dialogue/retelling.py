"""What open tasks learnt from actions, to be read again when the caller changes the language. Pure.

A result holds words to be spoken ("the Beacon lantern"), and actions give them in the language of the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from agent.dialogue.domain import Domain
from agent.dialogue.machine import FlowMachine
from agent.dialogue.needs import Need
from agent.dialogue.state import CallState, Frame
from agent.dialogue.steps import AskStep, CallStep
from agent.dialogue.text import resolve


@dataclass(frozen=True, slots=True)
class Reading:
    """The result `into` of `frame` comes from the action `need`; `ok` names the field that must be true, if any."""

    frame: Frame
    into: str
    need: Need
    ok: str | None = None


def readings(domain: Domain, machine: FlowMachine, state: CallState, today: date) -> Iterator[Reading]:
    """The results of open flows that come from actions without side effects, in the order in which they were made.

    The proof of identity is left out: each proof counts.
    """
    identity = domain.manner.identity
    for frame in state.frames:
        if identity is not None and frame.flow == identity.flow:
            continue
        for step in domain.flows[frame.flow].steps:
            if isinstance(step, CallStep):
                name, arguments, into, ok = step.call, step.arguments, step.into, None
            elif isinstance(step, AskStep) and step.check is not None:
                check = step.check
                name, arguments, into, ok = check.action, check.arguments, check.into, check.ok
            else:
                continue
            if frame.results.get(into) and not domain.manner.actions[name].side_effects:
                scope = machine.wordings.scope(state, today) | {"words": frame.words} | frame.results
                yield Reading(frame, into, Need(name, {key: resolve(one, scope) for key, one in arguments.items()}), ok)
