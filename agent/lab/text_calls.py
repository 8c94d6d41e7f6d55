"""Conversations played by text: the real understanding, dialogue, actions and knowledge, on a clock that is moved.

Each conversation has a database of its own, seeded for its day, so that they cannot disturb one another. Nothing is
heard or spoken, and nothing leaves the machine but what the domain's own actions send.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.dialogue.actions import Actions, open_actions
from agent.dialogue.call import CallDialogue
from agent.dialogue.contracts import Acted, Because, CallerTurn, HandOff, HangUp, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.engine import DialogueEngine
from agent.dialogue.state import CallState
from agent.lab.conversations import Conversation, Turn
from agent.lab.stepped_clock import SteppedClock
from agent.lab.unmet import TurnResult, unmet
from agent.learning.opening import Choice, Opener
from models.contracts import OUT_OF_SCOPE, Encoder, Understanding, Understood, VoiceEmotion
from models.languages import written_in
from models.slots import SlotSpec
from models.text_emotion import TextEmotionModel
from models.understanding import TurnUnderstanding

TURN_MS = 6000.0
"""What a turn takes of the call's time: words, an answer, and a breath."""
SILENCE_MS = 8000.0
PATIENCE_S = 2.0
"""After this much real time without an answer the clock goes on to whatever waits for it: fillers, time-outs."""
GIVE_UP_S = 60.0
"""A turn that takes longer than this, real time, hangs."""
RAISED = VoiceEmotion("angry", {"angry": 0.9, "neutral": 0.06, "happy": 0.02, "sad": 0.02}, anger=0.9, activation=0.9)
"""What the voice's reader gives for a voice that is plainly raised."""


@dataclass(frozen=True)
class ConversationResult:
    """A conversation as it went; `turns` end where it could not go on. took_s: real time."""

    conversation: Conversation
    turns: tuple[TurnResult, ...]
    took_s: float

    @property
    def passed(self) -> bool:
        """Every expectation was met."""
        return self.failure is None

    @property
    def failure(self) -> TurnResult | None:
        """The first turn that did not go as expected."""
        return next((turn for turn in self.turns if turn.unmet), None)

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "conversation": self.conversation.name,
            "description": self.conversation.script.description,
            "tags": list(self.conversation.script.tags),
            "passed": self.passed,
            "took_s": round(self.took_s, 3),
            "turns": [turn.document() for turn in self.turns],
        }


@dataclass
class _MovedClock:
    """The clock of the conversation that is played now; what understanding asks for the day."""

    clock: Clock

    def today(self) -> date:
        return self.clock.wall().date()


Today = Callable[[], date]
Understand = Callable[[Today], Mapping[str, Understanding]]
"""Makes understandings by language, given who tells the day."""


def understanding_of(domain: Domain, opener: Opener, cache: Path) -> Understand:
    """The real understanding of a domain in its languages: the version in use, and fitted heads for the others.

    `opener` opens those of `domain`; `cache` keeps fitted heads.

    Raises:
        ModelError: weights are missing. ValueError: an intent has too few examples.
    """
    choices = {domain.manner.language: opener.open_current()[0]}
    for language, other in domain.localized.items():
        choices[language] = Opener(opener.registry, other, opener.encoder, cache).fitted()

    def understand(today: Today) -> dict[str, Understanding]:
        return {
            language: _understanding(domain.localized.get(language, domain), opener.encoder, choice, today)
            for language, choice in choices.items()
        }

    return understand


def _understanding(domain: Domain, encoder: Encoder, choice: Choice, today: Today) -> Understanding:
    specs = [SlotSpec(name, slot.type, slot.options) for name, slot in domain.slots.items()]
    emotion = TextEmotionModel(encoder, language=domain.manner.language)
    return TurnUnderstanding(
        choice.model, specs, emotion, today, examples=choice.examples, language=domain.manner.language
    )


class TextDesk:
    """Plays the conversations of one domain, one after another; `folder` is for their databases."""

    def __init__(self, domain: Domain, encoder: Encoder, understand: Understand, folder: Path) -> None:
        self.domain = domain
        self._encoder = encoder
        self._folder = folder
        self._now = _MovedClock(SteppedClock(datetime.min))
        self._seeded: dict[date, Path] = {}
        self._count = 0
        self._understandings = understand(self._now.today)

    async def play(self, conversation: Conversation) -> ConversationResult:
        """Play one conversation to its end, or to where it breaks off."""
        began = time.perf_counter()
        turns: list[TurnResult] = []
        async with self._call(conversation) as call:
            for turn in _with_greeting(conversation.script.turns):
                result = await call.take(turn)
                turns.append(result)
                if result.broke is not None:
                    break
        return ConversationResult(conversation, tuple(turns), time.perf_counter() - began)

    @asynccontextmanager
    async def _call(self, conversation: Conversation) -> AsyncIterator[_TextCall]:
        clock = SteppedClock(conversation.began)
        self._now.clock = clock
        self._count += 1
        actions = await self._actions(conversation.script.today, clock)
        try:
            engine = DialogueEngine(self.domain, self._encoder, actions, clock, _in_place)
            yield _TextCall(engine, self._understandings, clock, conversation)
        finally:
            closing = asyncio.create_task(actions.close())
            await _moving(closing, clock)

    async def _actions(self, day: date, clock: SteppedClock) -> Actions:
        """The domain's actions on a database seeded for `day`: the first is kept as it was made, for the others."""
        if self.domain.manner.database is None:
            return await open_actions(self.domain, clock)
        if day not in self._seeded:
            first = self._folder / f"seeded-{day}.db"
            await (await open_actions(self.domain, clock, _url(first))).close()
            self._seeded[day] = first
        mine = self._folder / f"{self._count}.db"
        for file in self._folder.glob(self._seeded[day].name + "*"):
            shutil.copyfile(file, mine.with_name(file.name.replace(self._seeded[day].name, mine.name)))
        return await open_actions(self.domain, clock, _url(mine))


@dataclass
class _TextCall:
    """A caller at the text desk; a line that drops begins another call of the same caller."""

    engine: DialogueEngine
    understandings: Mapping[str, Understanding]
    clock: SteppedClock
    conversation: Conversation
    number: int = 0
    calls: int = 0
    over: bool = False
    call: CallDialogue | None = None
    said: list[str] = field(default_factory=list)

    async def take(self, turn: Turn) -> TurnResult:
        """Play one turn."""
        began = time.perf_counter()
        if self.over and turn.kind != "drop":
            broke = TurnResult(turn, broke="the call is over: the agent hung up before this turn")
            return replace(broke, unmet=unmet(broke))
        try:
            result = await self._taken(turn)
        except Exception as error:  # told as what the turn came to; the other conversations go on
            result = TurnResult(turn, broke=f"{type(error).__name__}: {error}")
        result = replace(result, took_ms=round((time.perf_counter() - began) * 1000.0, 1))
        return replace(result, unmet=unmet(result))

    async def _taken(self, turn: Turn) -> TurnResult:
        if turn.kind in ("agent", "drop"):
            return await self._greeted(turn)
        call = self._open
        if turn.interrupted_at is not None:
            call.heard(turn.interrupted_at, False)
        if turn.kind == "interrupted_at":
            return TurnResult(turn)
        self.clock.move(SILENCE_MS if turn.silence else TURN_MS)
        self.number += 1
        understood, language = Understood(OUT_OF_SCOPE, 0.0), ""
        if turn.say is not None:
            language = self._language(turn.say)
            understood = self.understandings[language].understand(turn.say, call.context)
        caller = CallerTurn(
            self.number,
            turn.say or "",
            understood,
            RAISED if turn.angry else None,
            dtmf=None if turn.press is None else turn.press.rstrip("#") or turn.press,
            silence=turn.silence or 0,
            language=language,
        )
        before = _state(call)
        parts = await self._gathered(call.respond(caller))
        return self._result(turn, caller, parts, before)

    def _language(self, text: str) -> str:
        """What is spoken: by the script it is written in, where the domain understands that."""
        named = self.conversation.script.language or written_in(text)
        return named if named in self.understandings else next(iter(self.understandings))

    async def _greeted(self, turn: Turn) -> TurnResult:
        if self.call is not None:
            await self.call.over()
        self.clock.move(turn.after_s * 1000.0 if turn.drop else 0.0)
        self.calls += 1
        self.over = False
        name = self.conversation.name
        self.call = self.engine.new_call(f"{name}-{self.calls}", self.conversation.script.caller)
        parts = await self._gathered(self.call.open(self.conversation.script.caller, {}))
        return self._result(turn, None, parts, _state(self.call))

    @property
    def _open(self) -> CallDialogue:
        if self.call is None:
            raise RuntimeError("the call has not begun")
        return self.call

    async def _gathered(self, parts: AsyncIterator[Part]) -> list[Part]:
        async def gather() -> list[Part]:
            return [part async for part in parts]

        found: list[Part] = await _moving(asyncio.create_task(gather()), self.clock)
        whole = " ".join(part.text for part in found if isinstance(part, Say))
        self._open.heard(whole, True)
        return found

    def _result(self, turn: Turn, caller: CallerTurn | None, parts: list[Part], before: CallState) -> TurnResult:
        after = _state(self._open)
        says = [part for part in parts if isinstance(part, Say)]
        acted = [part for part in parts if isinstance(part, Acted)]
        facts: dict[str, Any] = {}
        for part in parts:
            if isinstance(part, Because):
                facts |= part.facts
        hand_off = next((part for part in parts if isinstance(part, HandOff)), None)
        hang_up = any(isinstance(part, HangUp) for part in parts)
        self.over = hang_up
        understood = caller.understood if caller is not None and caller.text else None
        return TurnResult(
            turn,
            " ".join(say.text for say in says),
            None if understood is None else understood.intent,
            0.0 if understood is None else round(understood.confidence, 3),
            () if understood is None else tuple((name, round(p, 3)) for name, p in understood.ranking[:3]),
            _slots(before, after, understood),
            tuple(part.name for part in acted if part.ok),
            {part.name: str(part.result.get("error", "")) for part in acted if not part.ok},
            after.frame.flow if after.frame is not None else None,
            tuple(_sources(facts)),
            None if hand_off is None else hand_off.rule,
            hang_up,
            tuple(say.tone for say in says),
            {name: one.agreed for name, one in after.consents.items()},
            facts,
        )


def _with_greeting(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """`turns`, after the greeting where they do not begin with it."""
    return turns if turns[0].kind == "agent" else (Turn(agent="/./"), *turns)


def _state(call: CallDialogue) -> CallState:
    return call.snapshot().state


def _slots(before: CallState, after: CallState, understood: Understood | None) -> dict[str, Any]:
    """Values known after the turn; of slots dropped with a flow that ended in it, the last."""
    found = {name: known.value for name, known in before.slots.items()}
    if understood is not None:
        found |= {slot.name: slot.value for slot in understood.slots}
    return found | {name: known.value for name, known in after.slots.items()}


def _sources(facts: Mapping[str, Any]) -> list[str]:
    """The sections of the knowledge that were found for the answer and were good enough."""
    found = facts.get("knowledge")
    rows = found if isinstance(found, list) else [found]
    return [str(row["source"]) for row in rows if isinstance(row, Mapping) and row.get("answers", True)]


async def _moving(task: asyncio.Task[Any], clock: SteppedClock) -> Any:
    """The outcome of `task`; while nothing else happens, time goes on to what waits for it.

    Raises:
        TimeoutError: it did not end within `GIVE_UP_S` of real time.
    """
    try:
        async with asyncio.timeout(GIVE_UP_S):
            while not task.done():
                await asyncio.wait({task}, timeout=PATIENCE_S)
                if not task.done():
                    clock.skip()
    except TimeoutError as error:
        raise TimeoutError(f"the turn did not end within {GIVE_UP_S:.0f} s") from error
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return task.result()


async def _in_place(function: Callable[[], Any]) -> Any:
    return function()


def _url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"
