"""A conversation with the real dialogue on a real shop: what the tests of this folder speak through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.clock import RealClock
from agent.dialogue.actions import Actions, open_actions
from agent.dialogue.call import CallDialogue
from agent.dialogue.contracts import Acted, Because, CallerTurn, Expect, HandOff, HangUp, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.engine import DialogueEngine
from agent.dialogue.loader import load_domain
from agent.dialogue.text import content
from models.contracts import OUT_OF_SCOPE, Encoder, Slot, TextEmotion, Understood, VoiceEmotion

SHOP = Path(__file__).parents[2] / "configs" / "domains" / "shop"
TODAY = datetime(2026, 5, 4, 15, 0, tzinfo=UTC)


class ManualClock(RealClock):
    """A clock that a test moves; sleepers wake when it passes them."""

    def __init__(self) -> None:
        self.ms = 0.0
        self._moved = asyncio.Event()

    def now_ms(self) -> float:
        return self.ms

    def wall(self) -> datetime:
        return TODAY + timedelta(milliseconds=self.ms)

    async def sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(0)
        while self.ms < at_ms:
            await self._moved.wait()

    def move(self, ms: float) -> None:
        self.ms += ms
        self._moved.set()
        self._moved = asyncio.Event()


class WordEncoder:
    """Vectors of hashed word stems: texts that share words are near. Deterministic and quick."""

    width = 4096

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.width), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for term in content(text):
                row[sum(ord(letter) * 31**n for n, letter in enumerate(term)) % self.width] += 1.0
            row /= max(1e-6, float(np.linalg.norm(row)))
        return vectors


async def in_place(function: Callable[[], Any]) -> Any:
    return function()


@dataclass
class Answer:
    """One answer of the agent, its parts sorted by kind."""

    parts: list[Part] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(part.text for part in self.parts if isinstance(part, Say))

    @property
    def says(self) -> list[Say]:
        return [part for part in self.parts if isinstance(part, Say)]

    @property
    def tones(self) -> list[str]:
        return [say.tone for say in self.says]

    @property
    def expect(self) -> Expect:
        return next(part for part in reversed(self.parts) if isinstance(part, Expect))

    @property
    def acted(self) -> list[Acted]:
        return [part for part in self.parts if isinstance(part, Acted)]

    @property
    def hand_off(self) -> HandOff | None:
        return next((part for part in self.parts if isinstance(part, HandOff)), None)

    @property
    def hang_up(self) -> HangUp | None:
        return next((part for part in self.parts if isinstance(part, HangUp)), None)

    @property
    def facts(self) -> dict[str, Any]:
        return dict(next(part for part in reversed(self.parts) if isinstance(part, Because)).facts)


def understood(intent: str, confidence: float = 0.95, angry: float = 0.0, **slots: Any) -> Understood:
    values = tuple(Slot(name, value, str(value), (0, 0)) for name, value in slots.items())
    emotion = TextEmotion("angry" if angry > 0.5 else "neutral", {"angry": angry, "neutral": 1 - angry})
    return Understood(intent, confidence, ((intent, confidence),), values, emotion)


async def gather(parts: AsyncIterator[Part]) -> Answer:
    return Answer([part async for part in parts])


class Conversation:
    """A call in progress."""

    def __init__(self, call: CallDialogue, clock: ManualClock) -> None:
        self.call = call
        self.clock = clock
        self.number = 0

    def turn(self, text: str, intent: str, confidence: float = 0.95, **more: Any) -> CallerTurn:
        self.number += 1
        voice: VoiceEmotion | None = more.pop("voice", None)
        confident: bool = more.pop("confident", True)
        return CallerTurn(self.number, text, understood(intent, confidence, **more), voice, confident=confident)

    async def say(self, text: str, intent: str, confidence: float = 0.95, **more: Any) -> Answer:
        return await gather(self.call.respond(self.turn(text, intent, confidence, **more)))

    async def press(self, keys: str) -> Answer:
        self.number += 1
        return await gather(self.call.respond(CallerTurn(self.number, "", Understood(OUT_OF_SCOPE, 0.0), dtmf=keys)))

    async def stay_silent(self, count: int) -> Answer:
        self.number += 1
        turn = CallerTurn(self.number, "", Understood(OUT_OF_SCOPE, 0.0), silence=count)
        return await gather(self.call.respond(turn))


class Desk:
    """The engine on a fresh shop."""

    def __init__(self, domain: Domain, actions: Actions, clock: ManualClock, encoder: Encoder) -> None:
        self.domain = domain
        self.actions = actions
        self.clock = clock
        self.engine = DialogueEngine(domain, encoder, actions, clock, in_place)

    def call(self, call_id: str = "call-1") -> Conversation:
        return Conversation(self.engine.new_call(call_id, "+15035550101"), self.clock)


async def open_desk(path: Path, encoder: Encoder | None = None, domain: Domain | None = None) -> Desk:
    clock = ManualClock()
    domain = domain or load_domain(SHOP)
    actions = await open_actions(domain, clock, f"sqlite+aiosqlite:///{path}")
    return Desk(domain, actions, clock, encoder or WordEncoder())
