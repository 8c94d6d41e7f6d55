"""The floor of one call as it is now: steps it by the clock, and has its commands carried out."""

from __future__ import annotations

from collections.abc import Callable

from agent.call import floor
from agent.call.notes import Notes
from agent.clock import Clock

PATIENT_REPROMPT_MS = 600_000.0
"""Silence before a caller who types, or cannot be heard, is asked again: people read and think."""

Obey = Callable[[floor.Command, float], None]


class LiveFloor:
    """Holds the floor's state. `obey` carries out each command at the time of its step, in ms of the clock."""

    def __init__(
        self, settings: floor.FloorSettings, spoken: bool, clock: Clock, notes: Notes, wake: Callable[[], None]
    ) -> None:
        """spoken: the caller is heard by us, or by the gateway."""
        self._clock = clock
        self._notes = notes
        self._wake = wake
        self._patient = settings.model_copy(update={"reprompt_ms": PATIENT_REPROMPT_MS})
        self._usual = settings if spoken else self._patient
        self.settings = self._usual
        self.state = floor.FloorState(idle_ms=clock.now_ms())
        self.obey: Obey = _nothing

    @property
    def phase(self) -> floor.Phase:
        """Who holds the floor."""
        return self.state.phase

    def step(self, event: floor.Event) -> None:
        """Something happened."""
        now = self._clock.now_ms()
        before = self.state
        self.state, commands = floor.step(self.state, event, now, self.settings)
        for command in commands:
            self.obey(command, now)
        if self.state.phase is not before.phase:
            self._notes.state(self.state.phase)
        if self.state is not before and self.state != before:
            self._wake()

    def tick(self, now: float) -> None:
        """Do what time brings, where something is due at `now`."""
        at = self.due()
        if at is not None and now >= at:
            self.step(floor.Tick())

    def due(self) -> float | None:
        """When something happens if nothing comes before; None for never."""
        return floor.deadline(self.state, self.settings)

    def may_speak(self, generation: int) -> bool:
        """Whether reply `generation` still owns the floor."""
        return floor.may_speak(self.state, generation)

    def patient(self, on: bool) -> None:
        """The caller cannot be heard for a while: he is not asked whether he is there."""
        self.settings = self._patient if on else self._usual

    def resume(self, gone_ms: float, now: float) -> None:
        """Go on after `gone_ms` up to now that do not count."""
        self.settings = self._usual
        self.state = floor.later(self.state, gone_ms, now)


def _nothing(command: floor.Command, now: float) -> None:
    """Nobody obeys yet."""
