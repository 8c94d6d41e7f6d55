"""A call between two people, listened to with real models: words, suggestions, record and recording."""

import asyncio
import sqlite3

import numpy as np
import pytest
from callfakes import PHONE, FakeGateway, Lines, Phone

from agent.call.monitoring import MonitorSession
from agent.config import Settings
from agent.domains.shop.seed import create_shop
from agent.gateways.base import AudioIn, CallEnded, CallStarted, Capabilities, ShowSuggestion, ShowTranscript
from agent.loading import load
from audio.resample import resample, to_pcm16
from audio.wav import read_wav

pytestmark = [pytest.mark.slow, pytest.mark.aside]

PIECE_MS = 200
"""As Genesys' AudioHook sends its stereo audio."""


async def spoken(voice, text):
    pieces = [speech async for speech in voice.speak(text)]
    return to_pcm16(resample(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate, PHONE.rate))


def line_of(*said, gap_s: float = 1.0):
    """Two channels of (speaker, int16 samples) one after another, with silence between."""
    sides = {"caller": [], "agent": []}
    for speaker, samples in said:
        padded = np.concatenate([samples, np.zeros(int(gap_s * PHONE.rate), dtype=np.int16)])
        for side, audio in sides.items():
            audio.append(padded if side == speaker else np.zeros(len(padded), dtype=np.int16))
    return {side: np.concatenate(audio) for side, audio in sides.items()}


async def send(phone: Phone, sides) -> None:
    loop, step = asyncio.get_running_loop(), PHONE.rate * PIECE_MS // 1000
    began = loop.time()
    for at in range(0, len(sides["caller"]), step):
        await asyncio.sleep(max(0.0, began + at / PHONE.rate - loop.time()))
        for side, audio in sides.items():
            phone.give(AudioIn(PHONE.encode(audio[at : at + step]), speaker=side))
    phone.give(CallEnded("end"))


async def test_both_speakers_are_written_and_the_person_is_helped(tmp_path, sheet):
    await create_shop(tmp_path / "shop.db")
    settings = Settings.model_validate(
        {
            "dialogue": {"domain": "shop", "database_url": f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"},
            "records": {
                "database_url": f"sqlite+aiosqlite:///{tmp_path / 'records.db'}",
                "recordings": str(tmp_path / "recordings"),
            },
        }
    )
    gateway = FakeGateway(Capabilities(PHONE, PIECE_MS, monitor=True, audio_out=False, captions=True))
    phone = Phone(gateway, Lines())
    shown = gateway.sent = []
    async with load(settings) as loaded:
        greeting = await spoken(loaded.services.voice, "Thank you for calling. How can I help you today?")
        said = (("agent", greeting), ("caller", sheet.audio("policy")), ("caller", sheet.audio("number")))
        session = MonitorSession(loaded.services, gateway, phone, "c-monitored")
        phone.give(CallStarted("conversation-1", "session-1", "+15550123"))
        _, ended = await asyncio.gather(send(phone, line_of(*said)), session.run())
    assert (ended.outcome, ended.reason) == ("completed", "end")

    whole = [caption for caption in shown if isinstance(caption, ShowTranscript) and caption.final]
    words = {side: " ".join(c.text for c in whole if c.speaker == side).lower() for side in ("agent", "caller")}
    assert "help you today" in words["agent"]
    assert "return policy" in words["caller"]
    assert "order number" in words["caller"]
    asked = next(caption for caption in whole if "policy" in caption.text.lower())
    begins = len(greeting) * 1000 / PHONE.rate + 1000
    assert abs(asked.begin_ms - begins) < 400
    assert 800 < asked.end_ms - asked.begin_ms < 2000
    assert 0.3 < asked.confidence <= 1.0

    suggestions = [command for command in shown if isinstance(command, ShowSuggestion)]
    assert [suggestion.source for suggestion in suggestions] == ["returns-and-payment.md#what-is-your-return-policy"]
    assert "30 days" in suggestions[0].text

    with sqlite3.connect(tmp_path / "records.db") as database:
        turns = database.execute("select speaker, text, heard, intent from turns order by number").fetchall()
    assert {speaker for speaker, *_ in turns} == {"caller", "agent"}
    assert all((heard == text, intent) == (True, None) for speaker, text, heard, intent in turns if speaker == "agent")
    assert all(heard is None and intent for speaker, _, heard, intent in turns if speaker == "caller")

    (recording,) = (tmp_path / "recordings").glob("*.wav")
    sound = read_wav(recording)
    left, right = np.abs(sound.samples.reshape(len(sound.samples), 2)).T
    before = int(begins / 1000 * PHONE.rate)
    assert right[:before].mean() > 10 * left[:before].mean()
    assert left[before:].mean() > 10 * right[before:].mean()
