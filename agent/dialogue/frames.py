"""The flows that are open in a call, and where each stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.dialogue.domain import Domain
from agent.dialogue.state import DONE_FLOWS, OPEN_FLOWS, CallState, Frame
from agent.dialogue.steps import AnyStep, AskStep, AssistStep, CallStep, ConfirmStep, DoStep, Flow, SetStep


class Frames:
    """Opens, moves and closes the frames of a `CallState` in a domain's flows."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def flow(self, frame: Frame) -> Flow:
        """The flow that `frame` is in."""
        return self._domain.flows[frame.flow]

    def asking(self, state: CallState) -> AskStep | ConfirmStep | None:
        """The question that the top flow waits at, if it waits for the caller."""
        frame = state.frame
        if frame is None or frame.at >= len(self.flow(frame).steps):
            return None
        step = self.flow(frame).steps[frame.at]
        return step if isinstance(step, AskStep | ConfirmStep) else None

    def talking(self, state: CallState) -> AssistStep | None:
        """The step in which a language model talks with the caller, if the top flow is there and no action runs."""
        frame = state.frame
        if frame is None or frame.at >= len(self.flow(frame).steps) or frame.agreed is not None:
            return None
        step = self.flow(frame).steps[frame.at]
        return step if isinstance(step, AssistStep) else None

    def asks(self, frame: Frame, slot: str) -> int | None:
        """The step of `frame`'s flow where `slot` is asked for, there or in a flow it runs; None where it is not."""
        return self._domain.asked(frame.flow).get(slot)

    def open(self, state: CallState, flow: str, words: str) -> None:
        """Put `flow` on top; a flow that is already open is taken up again instead."""
        for n, frame in enumerate(state.frames):
            if frame.flow == flow:
                del state.frames[n + 1 :]
                return
        if state.frame is not None:
            state.frame.resumed = True
        state.frames.append(Frame(flow, words))
        del state.frames[:-OPEN_FLOWS]

    def close(self, state: CallState) -> Frame:
        """Take the top flow off: it is done or dropped. One that another flow ran leaves it its results."""
        frame = state.frames.pop()
        state.done.append(frame)
        del state.done[:-DONE_FLOWS]
        own = {step.ask for step in self.flow(frame).steps if isinstance(step, AskStep)} | frame.borrowed
        own |= {name for step in self.flow(frame).steps if isinstance(step, SetStep) for name in step.set}
        own -= set(self._domain.manner.remember)
        if frame.within and state.frame is not None:
            state.frame.results |= frame.results
            state.frame.borrowed |= own
        else:
            for name in own:
                state.slots.pop(name, None)
        return frame

    def drop(self, state: CallState) -> Frame:
        """Take the top task off, with the flows it runs; what is returned is the task's own flow."""
        frame = self.close(state)
        while frame.within and state.frames:
            frame = self.close(state)
        return frame

    def refill(self, state: CallState, slot: str) -> bool:
        """Go back to where `slot` is asked for, so that what follows is done again. False if this flow never asks."""
        frame = state.frame
        at = None if frame is None else self.asks(frame, slot)
        if frame is None or at is None:
            return False
        if at <= frame.at:
            frame.at = at
            earlier = self._results(self.flow(frame).steps[:at])
            frame.results = {name: result for name, result in frame.results.items() if name in earlier}
            frame.tries = {n: tries for n, tries in frame.tries.items() if n <= at}
        return True

    def missed(self, state: CallState) -> None:
        """The caller's words did not answer the question of the top flow."""
        frame = state.frame
        if frame is not None:
            frame.tries[frame.at] = frame.tries.get(frame.at, 0) + 1
            frame.wrong = frame.unfit = None

    def go(self, state: CallState, frame: Frame, target: str | None) -> None:
        """Go on with the next step, the step of that name, or another flow ("flow:NAME")."""
        if target is None:
            frame.at += 1
        elif target.startswith("flow:"):
            state.frames[-1] = Frame(target.removeprefix("flow:"), frame.words)
        else:
            frame.at = self.flow(frame).index(target)

    def asked_before(self, frame: Frame) -> list[str]:
        """Slots that the flow asked for before the step where it is."""
        return [step.ask for step in self.flow(frame).steps[: frame.at] if isinstance(step, AskStep)]

    def _results(self, steps: Sequence[AnyStep], inside: frozenset[str] = frozenset()) -> set[str]:
        """Names of the results of `steps`, with those of the flows they run."""
        found: set[str] = set()
        for step in steps:
            if isinstance(step, CallStep | AssistStep):
                found.add(step.into)
            elif isinstance(step, AskStep) and step.check:
                found.add(step.check.into)
            elif isinstance(step, DoStep) and step.do not in inside:
                found |= self._results(self._domain.flows[step.do].steps, inside | {step.do})
        return found
