"""A call with everything around it scripted: no socket, no model, no disk; runs in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from agent.alerts import Alerts
from agent.call.services import CallServices
from agent.call.session import Ended, Session
from agent.call.transport import Disconnected
from agent.clock import LoopClock
from agent.config import AlertSettings, Settings
from agent.dialogue.contracts import CallerTurn, Expect, HandOff, HandoffOutcome, HangUp, Part, Say
from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Capabilities,
    Clear,
    Command,
    Dtmf,
    Event,
    Mark,
    MarkReached,
    Play,
    TextIn,
)
from agent.handoff.contracts import HandoffRequest, HandoffResult
from agent.metrics import Metrics
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, TurnRecord
from audio.codec import Encoding
from models.contracts import (
    Recognition,
    RecognitionHints,
    Samples,
    Speech,
    Tone,
    UnderstandingContext,
    Understood,
)
from models.pool import Priority
from models.turn import TurnEnd

T = TypeVar("T")

PHONE = Encoding("pcm16", 8000)
CHARACTER_MS = 50.0
"""How long the scripted voice takes for a character."""


class Lines:
    """Sentences by the loudness they are 'spoken' with, so that a recognizer can read them off the samples."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def level(self, text: str) -> float:
        if text not in self._texts:
            self._texts.append(text)
        return 0.10 + 0.02 * self._texts.index(text)

    def read(self, samples: Samples) -> str:
        found: list[str] = []
        whole = samples[: len(samples) // 320 * 320].reshape(-1, 320)
        for piece in whole:
            level = float(np.median(piece))
            index = round((level - 0.10) / 0.02)
            if level > 0.05 and 0 <= index < len(self._texts) and abs(level - (0.10 + 0.02 * index)) < 0.004:
                text = self._texts[index]
                if text and (not found or found[-1] != text):
                    found.append(text)
        return " ".join(found)


class FakeVad:
    def __init__(self) -> None:
        self.error: Exception | None = None

    def probabilities(self, frames: Sequence[tuple[Any, Samples]]) -> list[float]:
        if self.error is not None:
            raise self.error
        return [0.99 if float(np.abs(frame).mean()) > 0.05 else 0.01 for _, frame in frames]


class FakeRecognizer:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.error: Exception | None = None
        self.calls = 0

    def recognize(self, samples: Samples, hints: RecognitionHints = RecognitionHints()) -> Recognition:  # noqa: B008
        self.calls += 1
        if self.error is not None:
            raise self.error
        return Recognition(self._lines.read(samples))


class FakeUnderstanding:
    """The first word is the intent; words ending in '...' are unfinished."""

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        intent = text.split()[0].lower() if text else "out_of_scope"
        return Understood(intent, 0.9, ((intent, 0.9),), complete=0.1 if text.endswith("...") else 0.95)


class FakeVoice:
    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.error: Exception | None = None

    async def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        if self.error is not None:
            raise self.error
        await asyncio.sleep(0.05)
        samples = np.full(int(len(text) * CHARACTER_MS * self.rate / 1000), 0.3, dtype=np.float32)
        yield Speech(samples, self.rate, (0, len(text)))


class FakeDialogue:
    """Echoes the caller; 'bye' hangs up, 'person' hands off, 'long' gives a long answer, 'look up' has the client run a
    tool, 'fail' raises."""

    context = UnderstandingContext()

    def __init__(self) -> None:
        self.turns: list[CallerTurn] = []
        self.heard_log: list[tuple[str, bool]] = []
        self.outcomes: list[str] = []
        self.restored = 0
        self.previews: list[CallerTurn] = []
        self.preview_error: Exception | None = None
        self.preview_says: Say | None = None
        self.overheard_log: list[tuple[str, str]] = []
        self.instructed = ""

    async def open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncIterator[Part]:
        yield Say("This call is recorded.", must_hear=True)
        yield Say("How can I help?", "warm")
        yield Expect("open")

    async def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        self.turns.append(turn)
        async for part in self._answer(turn):
            yield part

    async def _answer(self, turn: CallerTurn) -> AsyncIterator[Part]:
        if turn.silence:
            yield Say(f"Are you there? {turn.silence}")
            if turn.silence >= 3:
                yield HangUp("silence")
            return
        if "fail" in turn.text:
            raise RuntimeError("an action broke")
        if "quiet" in turn.text:
            return
        if "look up" in turn.text:
            yield Say("One moment.")
            result = await self.tools["look_up"]({"order_number": "42719"})
            yield Say(f"It is {result['status']}.")
            return
        if "person" in turn.text:
            yield Say("I will connect you.", must_hear=True)
            yield HandOff("asked", "asked_for_person")
            return
        if "bye" in turn.text:
            yield Say("Goodbye.")
            yield HangUp("goodbye")
            return
        yield Say(f"You said {turn.dtmf or turn.text}.")
        if "long" in turn.text:
            for number in range(6):
                yield Say(f"Sentence number {number} of a long answer.")

    async def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        self.previews.append(turn)
        if self.preview_error is not None:
            raise self.preview_error
        if self.preview_says is not None:
            yield self.preview_says
            return
        if "look up" in turn.text:
            return
        async for part in self._answer(turn):
            yield part

    async def handoff_outcome(self, outcome: HandoffOutcome, detail: str = "") -> AsyncIterator[Part]:
        self.outcomes.append(outcome)
        yield Say("Nobody is free now.")

    async def apology(self) -> AsyncIterator[Part]:
        yield Say("I am sorry, something went wrong.", "sorry")
        yield HandOff("a part failed", "fault")

    def overheard(self, speaker: str, text: str, understood: Understood | None) -> None:
        self.overheard_log.append((speaker, text))

    async def handed_back(self, who: str, note: str) -> AsyncIterator[Part]:
        yield Say("I am back.")
        yield Expect("open")

    def instruct(self, text: str) -> str:
        self.instructed = text
        return text

    def snapshot(self) -> int:
        return len(self.turns)

    def restore(self, snapshot: int) -> None:
        self.restored += 1
        del self.turns[snapshot:]

    def heard(self, text: str, complete: bool) -> None:
        self.heard_log.append((text, complete))

    def summary(self) -> Mapping[str, Any]:
        verdict = {"topic": "order_status", "negative": False}
        return {"verdict": verdict, "paragraph": "the caller called", "intent": None, "slots": {}}

    async def told(self) -> Mapping[str, Any]:
        return self.summary()

    sensitive = False
    may_record = True

    def use_tools(self, tools: Mapping[str, Any]) -> None:
        self.tools = dict(tools)

    async def over(self) -> None:
        self.ended = True

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        return []


class FakeRecord:
    def __init__(self, call: CallOpened) -> None:
        self.call = call
        self.recording = None
        self.turns: dict[tuple[int, str], TurnRecord] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.actions: list[ActionRecord] = []
        self.finished: CallFinished | None = None

    def event(self, kind: str, at_ms: float, data: Mapping[str, Any] | None = None) -> None:
        self.events.append((kind, dict(data or {})))

    def turn(self, turn: TurnRecord) -> None:
        self.turns[turn.number, turn.speaker] = turn

    def action(self, action: ActionRecord) -> None:
        self.actions.append(action)

    async def flush(self) -> None:
        await asyncio.sleep(0)

    async def finish(self, end: CallFinished) -> Mapping[str, str]:
        self.finished = end
        return {}

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


class FakeRecords:
    def __init__(self) -> None:
        self.calls: list[FakeRecord] = []

    async def open_call(self, call: CallOpened) -> FakeRecord:
        self.calls.append(FakeRecord(call))
        return self.calls[-1]


class FakeDesk:
    def __init__(self, result: HandoffResult | None = None, delay_s: float = 0.1) -> None:
        self.result = result or HandoffResult("accepted", "+15550100")
        self.delay_s = delay_s
        self.requests: list[HandoffRequest] = []
        self.left: list[str] = []
        self.ended: list[str] = []

    async def request(self, request: HandoffRequest) -> HandoffResult:
        self.requests.append(request)
        await asyncio.sleep(self.delay_s)
        return self.result

    async def caller_left(self, handoff_id: str) -> None:
        self.left.append(handoff_id)

    async def finished(self, handoff_id: str, outcome: str) -> None:
        self.ended.append(outcome)


class InlinePool:
    """Runs work on the loop after a scripted delay in virtual time."""

    def __init__(self, delays_ms: Mapping[Priority, float] | None = None) -> None:
        self.delays_ms = dict(delays_ms or {})
        self.promoted: list[tuple[object, Priority]] = []

    async def run(self, priority: Priority, work: Callable[[], T], *, within_ms: float | None = None) -> T:
        delay = self.delays_ms.get(priority, 0.0)
        if delay:
            await asyncio.sleep(delay / 1000.0)
        return work()

    def promote(self, tag: object, priority: Priority) -> None:
        self.promoted.append((tag, priority))


class FakeGateway:
    """Hands events through as they are, and plays what it is sent like a telephone."""

    name = "fake"

    def __init__(self, capabilities: Capabilities | None = None) -> None:
        self.capabilities = capabilities or Capabilities(PHONE, transfer="close")
        self.events: dict[str, Event] = {}

    def receive(self, message: str | bytes) -> Sequence[Event]:
        return [self.events.pop(str(message))]

    def send(self, command: Command) -> Sequence[str | bytes]:
        self.sent.append(command)
        return []

    sent: list[Command]


@dataclass
class Phone:
    """The caller's end: speaks, listens, presses keys; also the call's transport."""

    gateway: FakeGateway
    lines: Lines
    chunk_ms: int = 60
    heard: list[tuple[float, str]] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._count = 0
        self._playing_until = -1000.0
        self.first_sound: list[float] = []
        self.cleared: list[float] = []
        self.gateway.sent = self  # type: ignore[assignment]
        self._timers: list[asyncio.TimerHandle] = []

    def append(self, command: Command) -> None:
        now = asyncio.get_running_loop().time() * 1000.0
        if isinstance(command, Play):
            if now > self._playing_until + 90.0:
                self.first_sound.append(now)
            self._playing_until = max(self._playing_until, now) + len(command.audio) / 2 / PHONE.rate * 1000.0
        elif isinstance(command, Clear):
            self.cleared.append(now)
            self._playing_until = now
            for timer in self._timers:
                timer.cancel()
        elif isinstance(command, Mark):
            loop = asyncio.get_running_loop()
            wait = max(0.0, self._playing_until - now) / 1000.0
            self._timers.append(loop.call_later(wait, self.give, MarkReached(command.name)))

    @property
    def silent_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000.0 - self._playing_until

    def give(self, event: Event) -> None:
        self._count += 1
        self.gateway.events[str(self._count)] = event
        self._inbox.put_nowait(str(self._count))

    async def receive(self) -> str | bytes:
        message = await self._inbox.get()
        if message is None:
            raise Disconnected(1006)
        return message

    async def send(self, message: str | bytes) -> None:
        return None

    async def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
        for timer in self._timers:
            timer.cancel()

    def drop(self) -> None:
        self._inbox.put_nowait(None)

    async def send_level(self, level: float, ms: float) -> None:
        count = int(PHONE.rate * self.chunk_ms / 1000)
        for _ in range(max(1, round(ms / self.chunk_ms))):
            self.give(AudioIn(PHONE.encode(np.full(count, int(level * 32767), dtype=np.int16))))
            await asyncio.sleep(self.chunk_ms / 1000.0)

    async def say(self, text: str, ms: float = 900.0) -> None:
        await self.send_level(self.lines.level(text), ms)

    async def noise(self, ms: float) -> None:
        await self.send_level(self.lines.level(""), ms)

    async def wait(self, ms: float) -> None:
        await self.send_level(0.0, ms)

    async def wait_for_agent(self, quiet_ms: float = 700.0, at_most_ms: float = 30_000.0) -> None:
        """Silence until the agent has spoken and been silent for `quiet_ms`."""
        sounds, waited = len(self.first_sound), 0.0
        while waited < at_most_ms:
            await self.wait(self.chunk_ms)
            waited += self.chunk_ms
            if len(self.first_sound) > sounds and self.silent_ms > quiet_ms:
                return

    async def wait_for_sound(self, at_most_ms: float = 10_000.0) -> None:
        sounds, waited = len(self.first_sound), 0.0
        while len(self.first_sound) == sounds and waited < at_most_ms:
            await self.wait(self.chunk_ms)
            waited += self.chunk_ms

    def press(self, keys: str) -> None:
        for key in keys:
            self.give(Dtmf(key))

    def type(self, text: str) -> None:
        self.give(TextIn(text))

    def hang_up(self) -> None:
        self.give(CallEnded("stop"))


def _deaf_to_echo(settings: Settings) -> Settings:
    """Scripted voices are constant levels, which all correlate with each other."""
    return settings.model_copy(update={"vad": settings.vad.model_copy(update={"own_voice": False})})


class FakeCall:
    """One scripted call. `await start()`, drive `phone`, then `await ended()`."""

    def __init__(
        self,
        capabilities: Capabilities | None = None,
        settings: Settings | None = None,
        desk: FakeDesk | None = None,
        delays_ms: Mapping[Priority, float] | None = None,
    ) -> None:
        self.lines = Lines()
        self.gateway = FakeGateway(capabilities)
        self.phone = Phone(self.gateway, self.lines)
        self.dialogue = FakeDialogue()
        self.records = FakeRecords()
        self.recognizer = FakeRecognizer(self.lines)
        self.vad = FakeVad()
        self.voice = FakeVoice(PHONE.rate)
        self.desk = desk or FakeDesk()
        self.metrics = Metrics()
        self.services = CallServices(
            settings=_deaf_to_echo(settings or Settings()),
            clock=LoopClock(),
            pool=InlinePool(delays_ms),
            vad=self.vad,
            new_vad_state=object,
            recognizer=self.recognizer,
            understanding=FakeUnderstanding(),
            turn_end=lambda understood, context, recognition=None, samples=None: TurnEnd(understood.complete),
            emotion=None,
            voice=self.voice,
            new_dialogue=lambda call_id, caller: self.dialogue,
            records=self.records,
            desk=self.desk,
            metrics=self.metrics,
            alerts=Alerts("shop", LoopClock(), self.metrics, AlertSettings()),
            asking=frozenset({"fake"}),
        )
        self.session = Session(self.services, self.gateway, self.phone, "c-test")
        self._running: asyncio.Task[Ended] | None = None

    async def start(self, announce: bool = True) -> Phone:
        self._running = asyncio.create_task(self.session.run())
        if announce:
            self.phone.give(CallStarted("CA1", "MZ1", "+15550123", "+15550100"))
        await asyncio.sleep(0)
        return self.phone

    async def ended(self, within_s: float = 60.0) -> Ended:
        assert self._running is not None
        async with asyncio.timeout(within_s):
            return await self._running

    @property
    def record(self) -> FakeRecord:
        return self.records.calls[-1]

    def turn(self, number: int, speaker: str) -> TurnRecord:
        return self.record.turns[number, speaker]
