"""What became of one simulated call, at both ends: the material that scores and reports are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.lab.ear import Span
from agent.lab.expectations import Checked

Kind = Literal["turn", "interruption", "back_channel", "noise"]
"""turn: said while the agent was silent, wants an answer. interruption: said over the agent to stop it.

back_channel and noise ("uh-huh", a cough) are neither: the agent should go on, or go on waiting.
"""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing the simulated caller uttered. Times in ms of line time (`CallerLine.now_ms`).

    start_ms and end_ms are its first and last audible sample; a pause inside ("4 ... 2 ... 7", a pause put between
    words) is part of it. pauses: such pauses, (start, end). text: what was said, empty for noise. whole: the caller
    got to its end; False where he hung up in the middle of it.
    """

    step: str
    kind: Kind
    text: str
    start_ms: float
    end_ms: float
    pauses: tuple[tuple[float, float], ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """Something the server let be seen while the call ran: its state, an intent, a caption. `at_ms` of line time."""

    at_ms: float
    what: Literal["state", "intent", "caller_said", "agent_said"]
    value: str


@dataclass(frozen=True)
class CallOutcome:
    """One simulated call.

    agent: stretches in which the agent was audible at the caller's end. checked: the scenario's expectations.
    missed: steps that did not come about, and why. ended: `hung_up`, `life_over`, `agent:...`, `closed:CODE`, or
    `failed`. wrongs: breaches of the protocol. error: why the call could not be carried through; None where it was.
    record: as `GET /api/calls/{id}` returns it; None where the server has no such address.
    began_s: start of the call, seconds after the first call of the run. recording: stereo WAV, caller left.
    """

    scenario: str
    number: int
    seed: int
    began_s: float
    ended: str
    duration_ms: float
    utterances: tuple[Utterance, ...]
    agent: tuple[Span, ...]
    seen: tuple[Seen, ...] = ()
    checked: tuple[Checked, ...] = ()
    missed: tuple[str, ...] = ()
    wrongs: tuple[str, ...] = ()
    error: str | None = None
    record: Mapping[str, Any] | None = None
    recording: Path | None = None
    tags: tuple[str, ...] = field(default=())
    """What the scenario is about: back_channel, cough, echo, digits, ...; reports group by them."""

    @property
    def succeeded(self) -> bool:
        """The caller's task: everything expected held and no step was missed."""
        return self.error is None and not self.missed and all(check.held for check in self.checked)
