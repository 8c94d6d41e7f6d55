"""Plays a scenario on an open line: the caller's half of a call, and a record of exactly what was uttered when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.lab.line import CallerLine
from agent.lab.outcome import Kind, Utterance
from agent.lab.scenario import Scenario
from agent.lab.spoken import RATE, Spoken, at_rate
from agent.lab.steps import AnswerExpected, Step, WaitFor
from agent.lab.unmet import contains
from agent.lab.watching import Watch

KEY_MS = 250.0
"""Between two keys: a quick thumb."""
BACKCHANNEL_MS = 1000.0
"""How far into the agent's words a back-channel comes where nothing is said about it."""
MOST_BEFORE = 4
"""So many questions that were answered before are answered again in a call: a proof has three."""
BUSY = ("thinking", "speaking")
"""States of a server that has not said all it has to say."""
_PER_MS = RATE / 1000.0


@dataclass(frozen=True, slots=True)
class Asked:
    """An inline expectation, with when what it is about happened: from `start_ms` to `end_ms` of line time."""

    wanted: AnswerExpected
    about: str
    start_ms: float
    end_ms: float


@dataclass(slots=True)
class Played:
    """What became of a scenario.

    said: the last time each line was said, by its id or words. pressed: when keys were, ms. asked: expectations to
    check. missed: steps that did not come about, and why. ended: why the line was over, `open` where it is not.
    """

    utterances: list[Utterance] = field(default_factory=list)
    said: dict[str, Utterance] = field(default_factory=dict)
    pressed: list[float] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    ended: str = "open"


class Player:
    """Does a scenario's steps, one after another.

    A step that does not come about is noted and the scenario goes on. When the agent ends the call, the steps left over
    are not played and not missed: expectations say what had to happen.
    """

    def __init__(
        self,
        scenario: Scenario,
        sounds: Mapping[int, Spoken],
        line: CallerLine,
        watch: Watch,
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        """`sounds`: what each step says, by its number from 0. `watch` is filled by others while the call runs."""
        self.played = Played()
        self._scenario = scenario
        self._sounds = sounds
        self._line = line
        self._watch = watch
        self._on_step = on_step
        self._since = 0.0
        """End of the caller's last words or keys, ms; what the agent says after it is the answer."""
        self._began = 0.0
        """Their beginning."""
        self._done: tuple[int, Step] | None = None
        """The last step that said or pressed something, and its number."""
        self._answers: dict[str, tuple[int, Step]] = {}
        """What the caller said or pressed last to each question."""
        self._again = 0
        """How often he answered one again that he had answered before."""
        self._question = ""
        """What the agent asked last before it."""
        self._last: tuple[str, float, float] = ("the beginning of the call", 0.0, 0.0)
        """What an expectation is about: also noises and back-channels."""

    async def play(self) -> Played:
        """Play to the end, or until the line is over."""
        for number, step in enumerate(self._scenario.script.steps):
            if self._line.ended is not None and step.expect is None:
                continue
            if step.only_if and not self._answered(step.only_if):
                continue
            if self._on_step is not None:
                self._on_step(step)
            await self._do(number, step)
        self.played.ended = self._line.ended or "open"
        return self.played

    async def _do(self, number: int, step: Step) -> None:
        line = self._line
        if step.action in ("say", "dictate", "spell", "press"):
            self._done = number, step
            self._answers[self._now_asked()] = self._done
        match step.action:
            case "say":
                await self._say(number, step)
            case "backchannel" | "noise":
                await self._interject(number, step)
            case "dictate" | "spell":
                await self._utter(number, step, "turn")
            case "press":
                await self._press(step.press or "")
            case "hold_silence":
                await line.until(lambda: False, (step.hold_silence or 0.0) * 1000.0)
            case "wait_for":
                await self._wait(step)
            case "expect":
                assert step.expect is not None
                self.played.asked.append(Asked(step.expect, *self._last))
            case _:
                await line.hang_up()

    async def _say(self, number: int, step: Step) -> None:
        after = step.interrupt_after
        if after is None:
            await self._utter(number, step, "turn")
        elif await self._line.until(lambda: self._midway(after), step.timeout_s * 1000.0):
            await self._utter(number, step, "interruption")
        else:
            self._miss(step, f"the agent did not speak for {after:.0f} ms within {step.timeout_s:.0f} s")

    async def _interject(self, number: int, step: Step) -> None:
        kind: Kind = "noise" if step.noise is not None else "back_channel"
        after = BACKCHANNEL_MS if kind == "back_channel" and step.after_ms is None else step.after_ms
        if after is None or await self._line.until(lambda: self._midway(after), step.timeout_s * 1000.0):
            await self._utter(number, step, kind)
        else:
            self._miss(step, f"the agent did not speak for {after:.0f} ms within {step.timeout_s:.0f} s")

    async def _utter(self, number: int, step: Step, kind: Kind) -> None:
        line, sound = self._line, self._sounds[number]
        start = line.say(at_rate(sound.samples, line.protocol.rate))
        begins, ends = start + sound.start / _PER_MS, start + sound.end / _PER_MS
        pauses = tuple((start + first / _PER_MS, start + last / _PER_MS) for first, last in sound.pauses)
        stop = ends if step.hang_up_after is None else min(ends, begins + step.hang_up_after)
        await line.until(lambda: line.now_ms >= stop, stop - line.now_ms + 1000.0)
        if step.hang_up_after is not None:
            await line.hang_up()
        whole = line.now_ms >= ends
        until = ends if whole else max(begins, line.now_ms)
        named = step.say or step.backchannel
        text = step.dictate or step.spell or (self._scenario.line(named).text if named is not None else "")
        uttered = Utterance(str(step), kind, text, begins, until, _before(pauses, until), whole)
        self.played.utterances.append(uttered)
        self.played.said[named or text or str(step)] = uttered
        self._last = (str(step), begins, until)
        if kind in ("turn", "interruption"):
            self._began, self._since = begins, until

    async def _press(self, keys: str) -> None:
        line, began = self._line, self._line.now_ms
        for number, key in enumerate(keys):
            if number:
                await line.until(lambda: False, KEY_MS)
            await line.press(key)
        self.played.pressed.append(began)
        self._began, self._since = began, line.now_ms
        self._last = (f"press {keys}", began, line.now_ms)

    async def _wait(self, step: Step) -> None:
        """Wait; where the agent did not understand, say the same again, as `again_if` tells, and wait again.

        Where it asks what was answered before instead of saying what is wanted (`unless`), the answer is given again.
        """
        wanted = step.wait_for
        assert wanted is not None
        line, times = self._line, 0
        while await line.until(lambda: self._come(wanted, step.silence_ms, step.settled), step.timeout_s * 1000.0):
            asked = self._now_asked()
            settled = line.ended is not None or not step.again_if or self._enough(step.unless)
            if not settled and self._done is not None and times < step.again and self._misunderstood(step):
                times += 1
                number, said = self._done
            elif not settled and step.unless and self._again < MOST_BEFORE and self._before(asked):
                self._again += 1
                number, said = self._answers[asked]
            else:
                self._question = asked
                return
            self._answers[asked] = number, said
            if said.press is not None:
                await self._press(said.press)
            else:
                await self._utter(number, said, "turn")
        within = f"within {step.timeout_s:.0f} s"
        if wanted.agent_done:
            self._miss(step, f"the agent had not spoken and finished {within}")
        else:
            self._miss(step, f"it did not come {within}; {self._instead(wanted)}")

    def _before(self, question: str) -> bool:
        """Whether the caller answered this question before, with other words than his last."""
        return bool(question) and self._answers.get(question, self._done) != self._done

    def _now_asked(self) -> str:
        """The question that the agent's last answer ends in; empty where it ends otherwise."""
        return _asked("".join(self._watch.since("agent_said", self._began)[-1:]))

    def _misunderstood(self, step: Step) -> bool:
        asked = self._now_asked()
        repeated = bool(asked) and asked == self._question and not self._answered(step.taken)
        return repeated or self._answered(step.again_if)

    def _enough(self, pieces: tuple[str, ...]) -> bool:
        answer = " ".join(self._watch.since("agent_said", self._began))
        return bool(pieces) and all(contains(answer, piece) for piece in pieces)

    def _answered(self, texts: tuple[str, ...]) -> bool:
        """Whether the agent said one of `texts` since the caller's last words or keys began."""
        answer = plain(" ".join(self._watch.since("agent_said", self._began)))
        return any(plain(text) in answer for text in texts)

    def _come(self, wanted: WaitFor, silence_ms: float, settled: bool) -> bool:
        ear, watch = self._line.ear, self._watch
        if wanted.agent_done:
            busy = settled and watch.state in BUSY
            return ear.heard_since(self._since) and ear.silent_ms() >= silence_ms and not busy
        if wanted.silence_ms is not None:
            return ear.silent_ms() >= wanted.silence_ms
        if wanted.text is not None:
            return any(plain(wanted.text) in plain(text) for text in watch.since("agent_said", self._began))
        if wanted.intent is not None:
            return wanted.intent in watch.since("intent", self._began)
        return watch.state == (wanted.state or "").lower()

    def _instead(self, wanted: WaitFor) -> str:
        if wanted.text is not None:
            texts = self._watch.since("agent_said", self._began)
            return "the agent said " + (" / ".join(f"“{text}”" for text in texts) or "nothing")
        if wanted.intent is not None:
            return f"understood was {', '.join(self._watch.since('intent', self._began)) or 'nothing'}"
        return f"the state is {self._watch.state}" if wanted.state is not None else "the agent went on speaking"

    def _midway(self, after_ms: float) -> bool:
        ear = self._line.ear
        begun = [span for span in ear.spans if span.end_ms > self._since]
        return bool(begun) and ear.speaking and ear.now_ms - max(begun[0].start_ms, self._since) >= after_ms

    def _miss(self, step: Step, why: str) -> None:
        if self._line.ended is None:
            self.played.missed.append(f"{step}: {why}")


def _asked(text: str) -> str:
    """The question that `text` ends in; empty where it ends otherwise."""
    last = text.rstrip().replace("!", ".").rsplit(". ", 1)[-1].strip()
    return plain(last) if last.endswith("?") else ""


def plain(text: str) -> str:
    """`text` in lower case, without punctuation."""
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split())


def _before(pauses: tuple[tuple[float, float], ...], until: float) -> tuple[tuple[float, float], ...]:
    return tuple(pause for pause in pauses if pause[1] <= until)
