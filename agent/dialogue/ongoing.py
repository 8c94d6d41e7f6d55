"""One call's dialogue as it stands: what its answers are made of, and what they leave behind."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from agent.clock import Clock
from agent.dialogue.acting import Acting
from agent.dialogue.contracts import Say
from agent.dialogue.instructing import Instruction
from agent.dialogue.lookup import Lookup
from agent.dialogue.phrasing import Phrasing
from agent.dialogue.profile import NOBODY, Profile
from agent.dialogue.state import HISTORY, CallState
from agent.dialogue.steps import AssistStep, CallStep
from agent.dialogue.tongue import Tongue


class NotForeseeable(Exception):
    """A preview came to something that may only happen for a turn that is over."""


@dataclass
class Ongoing:
    """The parts and the state of one call.

    tongues: by language, `first` the one spoken until the caller's is known. run: runs blocking work in the pool.
    previewing: this is a copy that guesses at a turn. instructions: of a person at a console, for the next answer.
    """

    tongues: Mapping[str, Tongue]
    first: str
    acting: Acting
    clock: Clock
    run: Callable[[Callable[[], Any]], Awaitable[Any]]
    phrasing: Phrasing
    lookup: Lookup
    state: CallState = field(default_factory=CallState)
    profile: Profile = NOBODY
    previewing: bool = False
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def here(self) -> Tongue:
        """The language that is spoken now."""
        return self.tongues.get(self.state.language) or self.tongues[self.first]

    @property
    def sensitive(self) -> bool:
        """Whether what is waited for is neither recorded nor shown."""
        return self.here.machine.questions.expecting(self.state).sensitive

    @property
    def today(self) -> date:
        """The date at the business."""
        return self.clock.wall().date()

    def fork(self) -> Ongoing:
        """A copy for a preview, which changes nothing here."""
        return replace(self, state=copy.deepcopy(self.state), acting=self.acting.fork(), previewing=True)

    def must_be_over(self) -> None:
        """Stop a preview here.

        Raises:
            NotForeseeable: this is one.
        """
        if self.previewing:
            raise NotForeseeable

    def said(self, who: str, text: str) -> None:
        """Keep what was said."""
        self.state.history.append((who, text))
        del self.state.history[:-HISTORY]

    def spoken(self, say: Say) -> Say:
        """`say` as this caller hears it."""
        return replace(say, gain_db=self.state.gain_db, language=self.here.language)

    def take_profile(self) -> None:
        """Take what the look-up of the caller found since."""
        if self.lookup.profile is self.profile:
            return
        self.profile, state = self.lookup.profile, self.state
        state.pace = self.profile.pace if state.pace == 1.0 else state.pace
        if not state.language and self.profile.language:
            state.language = self.profile.language

    def acts_for_caller(self) -> None:
        """Let actions know who was proven to call, and which values they may not show."""
        state = self.state
        self.acting.actions.customer = state.customer
        hidden = (state.slots[name].value for name in state.sensitive if name in state.slots)
        self.acting.hidden = frozenset(str(value) for value in hidden)

    def at_work(self, state: CallState) -> bool:
        """Whether the top flow waits for something else than the caller."""
        machine = self.here.machine
        idle = state.frame is None or state.pending is not None
        return not idle and machine.frames.asking(state) is None and machine.frames.talking(state) is None

    def changes(self, state: CallState) -> set[str]:
        """Actions with side effects in the open task."""
        steps = [step for frame in state.frames for step in self.here.machine.frames.flow(frame).steps]
        names = {step.call for step in steps if isinstance(step, CallStep)}
        names |= {name for step in steps if isinstance(step, AssistStep) for name in step.actions}
        return {name for name in names if self.here.domain.manner.actions[name].side_effects}
