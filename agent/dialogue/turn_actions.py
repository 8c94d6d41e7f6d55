"""The actions of one answer: those that a flow needs, those a language model asks for, and what they mean for it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import date

from agent.dialogue.assisting import Assisting, facts_of, helped_by
from agent.dialogue.contracts import Acted, CallerTurn, Part
from agent.dialogue.needs import Need
from agent.dialogue.ongoing import Ongoing
from agent.dialogue.retelling import readings
from agent.dialogue.steps import AskStep
from agent.dialogue.telling import Telling

log = logging.getLogger(__name__)


class TurnActions:
    """Runs actions for the answer to `turn`."""

    def __init__(self, ongoing: Ongoing, telling: Telling, turn: CallerTurn) -> None:
        self._ongoing = ongoing
        self._telling = telling
        self._turn = turn
        self._assisting = Assisting(ongoing.phrasing.writer, ongoing.acting, ongoing.clock)

    async def run(self, need: Need, *, tell: bool = True) -> AsyncGenerator[Part, None]:
        """Run an action for the machine, saying its filler where it takes long. tell: the machine takes its outcome.

        Raises:
            NotForeseeable: a preview may not run it.
        """
        on = self._ongoing
        if not on.acting.actions.spec(need.action).speculate:
            on.must_be_over()
        on.acts_for_caller()
        async with aclosing(on.acting.run(need)) as outcome:
            async for acted in outcome:
                if acted is None:
                    for part in self._telling.says(on.here.domain.manner.actions[need.action].filler or ""):
                        yield part
                    continue
                if tell:
                    await self._hear_again(acted)
                    on.here.machine.result(on.state, acted.ok, acted.result)
                self._ran(need.action)
                yield acted

    async def assist(self, answer: list[Part], today: date) -> AsyncGenerator[Part, None]:
        """Give what a language model does for the step's goal, and put the parts of its answer into `answer`."""
        on = self._ongoing
        on.must_be_over()
        step = on.here.machine.frames.talking(on.state)
        if step is None:
            return
        on.acts_for_caller()
        async with aclosing(self._assisting.ask(step, on.state, on.here.language)) as asked:
            async for one in asked:
                if one is None:
                    for part in self._telling.says(step.filler or "", more=True):
                        yield part
                elif isinstance(one, Acted):
                    self._ran(one.name)
                    yield one
                else:
                    self._telling.facts["assist"] = facts_of(one)
                    answer += on.here.machine.assisted(on.state, helped_by(one), today)

    def _ran(self, name: str) -> None:
        self._telling.facts.setdefault("actions", []).append(name)

    async def _hear_again(self, acted: Acted) -> None:
        """What else the caller may have said, where a check refused the value that was heard in this turn."""
        on, state, turn = self._ongoing, self._ongoing.state, self._turn
        step = on.here.machine.frames.asking(state)
        if turn.hear_again is None or on.previewing or not isinstance(step, AskStep):
            return
        said = turn.understood.slot(step.ask)
        refused = step.check is not None and acted.ok and not acted.result.get(step.check.ok)
        if not refused or said is None or state.others.get(step.ask):
            return
        known = state.slots.get(step.ask)
        if known is None or known.guessed or known.value != said.value:
            return
        self._turn = replace(turn, hear_again=None)
        try:
            others = await turn.hear_again()
        except Exception as error:
            log.warning("the turn was not heard again: %s", error, extra={"code": "not_heard_again"})
            return
        found = (slot.value for other in others if (slot := other.slot(step.ask)) is not None)
        state.others[step.ask] = [value for value in dict.fromkeys(found) if value != said.value]


async def read_again(on: Ongoing, today: date) -> None:
    """The language changed: what open tasks learnt from actions is read again in it. What fails stays as it is.

    Raises:
        NotForeseeable: a preview may not run such an action.
    """
    for one in readings(on.here.domain, on.here.machine, on.state, today):
        if not on.acting.actions.spec(one.need.action).speculate:
            on.must_be_over()
        on.acts_for_caller()
        async with aclosing(on.acting.run(one.need)) as outcome:
            async for acted in outcome:
                if acted is not None and acted.ok and (one.ok is None or acted.result.get(one.ok)):
                    one.frame.results[one.into] = dict(acted.result)
