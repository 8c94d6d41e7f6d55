"""A domain of three intents, an encoder that needs no weights, and calls written into a real records database."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.clock import RealClock
from agent.dialogue.domain import Domain
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.database import Database
from agent.records.writer import SqlRecords
from models.encoder import Vectors, normalise

THINGS = ("tent", "lantern", "stove", "kayak", "parcel", "boots", "jacket", "order", "compass", "rope")
SAID = {
    "order_status": ("where is my {}", "track the {}", "when will the {} arrive"),
    "cancel_order": ("cancel my {}", "stop the {} from shipping", "I no longer need the {} cancel"),
    "return_order": ("return my {}", "send back the {}", "refund the {} I return"),
}
"""Examples whose words tell the intents apart without doubt, so that test sets move for a reason only."""


class WordEncoder:
    """Words hashed into a unit vector; texts without words in common are orthogonal."""

    width = 64
    identity = "words-1"

    def encode(self, texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in normalise(text).split():
                out[row, zlib.crc32(word.encode()) % self.width] += 1.0
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def small(shop: Domain) -> Domain:
    """The shop with three intents of clear words."""
    intents = {
        name: shop.intents[name].model_copy(
            update={"examples": tuple(text.format(thing) for text in texts for thing in THINGS)}
        )
        for name, texts in SAID.items()
    }
    return replace(shop, intents=intents, out_of_scope=tuple(f"sing me a song about number {n}" for n in THINGS))


@dataclass(frozen=True)
class Said:
    """A caller turn and the agent's answer."""

    text: str
    intent: str = "order_status"
    ranking: tuple[tuple[str, float], ...] = ()
    decision: str = "flow order_status"
    answer: str = "All right."
    reasons: dict[str, Any] = field(default_factory=dict)
    candidate: str | None = None


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/records.db"


@asynccontextmanager
async def recorded(
    folder: Path, calls: dict[str, Sequence[Said]], outcome: str = "completed", domain: str = "shop"
) -> AsyncIterator[Database]:
    """A database that holds `calls`; all end in `outcome`."""
    async with SqlRecords.open(url_of(folder), folder / "recordings", RealClock(), record_audio=False) as records:
        for call_id, turns in calls.items():
            call = await records.open_call(CallOpened(call_id, "plain", f"g-{call_id}", domain))
            call.turn(TurnRecord(0, "agent", "How can I help?", 0, 900, heard="How can I help?"))
            for number, said in enumerate(turns, start=1):
                ranking = said.ranking or ((said.intent, 0.95), ("wait", 0.02))
                call.turn(
                    TurnRecord(
                        number,
                        "caller",
                        said.text,
                        number * 1000.0,
                        number * 1000.0 + 500,
                        intent=said.intent,
                        confidence=ranking[0][1],
                        reasons={"ranking": [list(row) for row in ranking], **said.reasons},
                        model="head",
                    )
                )
                reasons = {"decision": said.decision}
                call.turn(
                    TurnRecord(
                        number, "agent", said.answer, number * 1000.0 + 600, 0, heard=said.answer, reasons=reasons
                    )
                )
                if said.candidate is not None:
                    sides = {"live": {"version": "head", "intent": said.intent, "confidence": 0.9}}
                    sides["candidate"] = {"version": "v0001-a0000000", "intent": said.candidate, "confidence": 0.9}
                    agree = said.candidate == said.intent
                    call.event("shadow", 0.0, {"turn": number, "agree": agree, **sides})
            await call.finish(CallFinished(outcome, "test", 5000.0))
        yield records.database
