"""What a call works with; shared by all calls of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from agent.alerts import Alerts
from agent.call.assistant import Assistant
from agent.clock import Clock
from agent.config import Settings
from agent.dialogue.contracts import Dialogue
from agent.handoff.contracts import HandoffDesk
from agent.handoff.transfers import Transfers
from agent.learning.shadow import Shadow
from agent.metrics import Metrics
from agent.records.contracts import Records
from models.contracts import (
    Recognition,
    Recognizer,
    Samples,
    Understanding,
    UnderstandingContext,
    Understood,
    Voice,
    VoiceEmotionModel,
)
from models.pool import Priority
from models.turn import TurnEnd

T = TypeVar("T")


class Compute(Protocol):
    """Where blocking model work runs; see `models.pool.Pool`."""

    async def run(self, priority: Priority, work: Callable[[], T], *, within_ms: float | None = None) -> T:
        """Run `work` off the event loop."""
        ...

    def promote(self, tag: object, priority: Priority) -> None:
        """Make guesses under `tag` (`models.pool.job_tag`) that still wait as urgent as `priority`."""
        ...


class Vad(Protocol):
    """Voice activity of many calls at once; blocking."""

    def probabilities(self, frames: Sequence[tuple[Any, Samples]]) -> list[float]:
        """P(voice) of one float32[512] frame at 16 kHz for each (state, frame); updates the states."""
        ...


class TurnEndModel(Protocol):
    """Whether a turn is over; blocking, called from the pool. See `models.turn.TurnModel`."""

    def __call__(
        self,
        understood: Understood,
        context: UnderstandingContext,
        recognition: Recognition | None = None,
        samples: Samples | None = None,
    ) -> TurnEnd:
        """P(the turn is over); recognition and samples[n] at 16 kHz are None where nothing was heard."""
        ...


class Carrier(Protocol):
    """The gateway vendor's call control."""

    async def transfer(self, call_sid: str, target: str, context: Mapping[str, str] | None = None) -> None:
        """Send the caller elsewhere; `context` travels along where the vendor takes it."""
        ...

    async def hang_up(self, call_sid: str) -> bool:
        """End the call; False where it had ended."""
        ...


class Feed(Protocol):
    """Where people at consoles see calls happen."""

    def publish(self, kind: str, call_id: str | None, data: Mapping[str, Any]) -> None:
        """Tell everybody who watches; never blocks."""
        ...


@dataclass(frozen=True)
class CallServices:
    """Everything a call needs.

    new_vad_state(): the voice activity state of a new call.
    new_dialogue(call_id, caller): begins a dialogue.
    shadow: reads settled turns by a candidate model, where one runs.
    alerts: told how each call went, where surges of negative calls are watched for.
    asking: gateways that ask us what to do once our stream has ended, so that a transfer needs no request of ours.
    assistant: what people who talk to callers could say, in calls that are only listened to, or that a person took.
    feed: told what happens in each call, where a console shows it.
    languages: those callers may speak, the usual one first; fewer than two where they have no choice.
    """

    settings: Settings
    clock: Clock
    pool: Compute
    vad: Vad
    new_vad_state: Callable[[], Any]
    recognizer: Recognizer
    understanding: Understanding
    turn_end: TurnEndModel
    emotion: VoiceEmotionModel | None
    voice: Voice
    new_dialogue: Callable[[str, str | None], Dialogue]
    records: Records
    desk: HandoffDesk
    metrics: Metrics
    carriers: Mapping[str, Carrier] = field(default_factory=dict)
    transfers: Transfers = field(default_factory=Transfers)
    asking: frozenset[str] = frozenset()
    redact: Callable[[str], str] = str
    model_names: Mapping[str, str] = field(default_factory=dict)
    shadow: Shadow | None = None
    languages: tuple[str, ...] = ()
    alerts: Alerts | None = None
    assistant: Assistant | None = None
    feed: Feed | None = None
