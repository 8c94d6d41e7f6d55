"""The official client of the OpenAI Realtime API calls this agent over a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from live import Live, eventually
from openai import AsyncOpenAI
from websockets.exceptions import InvalidStatus

pytestmark = [pytest.mark.slow, pytest.mark.aside]

KEY = "sk-a-key-of-the-tests"
LIMIT_S = 20.0


@asynccontextmanager
async def connected(up: Live, key: str = KEY, **options: Any) -> AsyncIterator[Any]:
    """A session of the official client, which only knows another base URL; the first event was read."""
    async with (
        AsyncOpenAI(api_key=key, base_url=f"{up.address}/v1") as client,
        client.realtime.connect(model="gpt-realtime", **options) as connection,
    ):
        created = await connection.recv()
        assert created.type == "session.created"
        yield connection


async def until(connection: Any, wanted: str | Callable[[Any], bool]) -> list[Any]:
    """Read events up to one of this type."""
    events = []
    async with asyncio.timeout(LIMIT_S):
        while True:
            event = await connection.recv()
            events.append(event)
            assert event.type != "error", event
            if event.type == wanted if isinstance(wanted, str) else wanted(event):
                return events


async def served(serve: Any, **sections: Any) -> Live:
    up: Live = await serve(insecure=False, secrets={"keys": {"openai": KEY}}, **sections)
    return up


def words(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_audio_transcript.delta")


def sound(events: list[Any]) -> bytes:
    return b"".join(base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta")


async def speak(connection: Any, up: Live, text: str, ms: int = 700, silence_ms: int = 1600) -> None:
    """Say `text`, as the scripted recognizer reads it, in real time."""
    level = up.calls.loaded.services.recognizer._lines.level(text)  # type: ignore[union-attr]
    for at in range(0, ms + silence_ms, 20):
        frame = np.full(480, int(level * 32768) if at < ms else 0, dtype="<i2")
        await connection.input_audio_buffer.append(audio=base64.b64encode(frame.tobytes()).decode())
        await asyncio.sleep(0.02)


async def test_the_text_example_of_the_clients_own_page(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        content = [{"type": "input_text", "text": "hello"}]
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await connection.response.create()
        events = await until(connection, "response.done")
    done = events[-1].response
    assert done.status == "completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta").endswith(
        "You said hello."
    )
    assert done.output[0].content[0].text.endswith("You said hello.")
    await up.empty()


async def test_a_call_by_voice(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        transcription = {"model": "any"}
        audio = {"input": {"transcription": transcription, "turn_detection": {"type": "server_vad"}}}
        await connection.session.update(session={"type": "realtime", "audio": audio})
        await until(connection, "session.updated")
        await connection.response.create()
        greeting = await until(connection, "response.done")
        assert words(greeting) == "This call is recorded. How can I help?"
        assert len(sound(greeting)) > 24_000
        saying = asyncio.create_task(speak(connection, up, "balance please"))
        events = await until(connection, "response.done")
        await saying
    kinds = [event.type for event in events]
    order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "response.created",
        "response.output_audio.delta",
        "response.done",
    ]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    [said] = [event for event in events if event.type.endswith("transcription.completed")]
    assert said.transcript == "balance please"
    assert words(events) == "You said balance please."


async def test_who_speaks_over_the_agent_interrupts_it(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        await connection.response.create()
        await until(connection, "response.done")
        saying = asyncio.create_task(speak(connection, up, "long"))
        await until(connection, lambda event: words([event]).strip().startswith("Sentence number 1"))
        await saying
        saying = asyncio.create_task(speak(connection, up, "stop it now"))
        events = await until(connection, "response.done")
        assert events[-1].response.status == "cancelled"
        assert events[-1].response.status_details.reason == "turn_detected"
        assert words(await until(connection, "response.done")) == "You said stop it now."
        await saying


async def test_a_client_cancels_and_truncates(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        await connection.response.create()
        await until(connection, "response.done")
        content = [{"type": "input_text", "text": "long"}]
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await connection.response.create()
        heard = await until(connection, lambda event: event.type == "response.output_audio.delta")
        await connection.conversation.item.truncate(item_id=heard[-1].item_id, content_index=0, audio_end_ms=10)
        events = await until(connection, "response.done")
        assert "conversation.item.truncated" in [event.type for event in events]
        assert events[-1].response.status == "cancelled"
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.response.cancel()
        events = await until(connection, "response.done")
        assert events[-1].response.status_details.reason == "client_cancelled"


async def test_push_to_talk(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        await connection.response.create()
        await until(connection, "response.done")
        level = up.calls.loaded.services.recognizer._lines.level("balance")  # type: ignore[union-attr]
        clip = np.full(19_200, int(level * 32768), dtype="<i2").tobytes()
        await connection.input_audio_buffer.append(audio=base64.b64encode(clip).decode())
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        events = await until(connection, "response.done")
        assert words(events) == "You said balance."
        assert "input_audio_buffer.speech_started" not in [event.type for event in events]


async def test_telephone_formats(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}}
        await connection.session.update(session={"type": "realtime", "audio": audio})
        await connection.response.create()
        events = await until(connection, "response.done")
        assert 8_000 < len(sound(events)) < 80_000


async def test_the_agent_hangs_up_by_the_function_the_client_declared(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        tools = [{"type": "function", "name": "end_call", "parameters": {"type": "object", "properties": {}}}]
        await connection.session.update(session={"type": "realtime", "tools": tools})
        content = [{"type": "input_text", "text": "bye"}]
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await connection.response.create()
        events = await until(connection, "response.function_call_arguments.done")
        assert json.loads(events[-1].arguments)["reason"] == "goodbye"
        output = {"type": "function_call_output", "call_id": events[-1].call_id, "output": "ok"}
        await connection.conversation.item.create(item=output)
        async with asyncio.timeout(LIMIT_S):
            async for _ in connection:  # ends where the server closes normally
                pass
    await up.empty()
    labels = {"gateway": "openai", "outcome": "completed", "reason": "goodbye"}
    assert await up.counter("callagent_calls_ended_total", **labels) == 1


async def test_the_client_runs_the_tools_it_declared_in_place_of_the_domains_actions(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        tool = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}
        await connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": [tool], "tool_choice": "auto"}
        )
        content = [{"type": "input_text", "text": "look up my order"}]
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await connection.response.create()
        asked = await until(connection, lambda event: event.type == "response.function_call_arguments.done")
        assert (asked[-1].name, json.loads(asked[-1].arguments)) == ("look_up", {"order_number": "42719"})
        await until(connection, "response.done")
        output = {"type": "function_call_output", "call_id": asked[-1].call_id, "output": '{"status": "on its way"}'}
        await connection.conversation.item.create(item=output)
        await connection.response.create()
        events = await until(connection, "response.done")
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == "It is on its way."
    await up.empty()
    assert await up.faults("unknown_tool_call") == 0


async def test_a_wrong_key_is_refused(serve: Any) -> None:
    up = await served(serve)
    with pytest.raises(InvalidStatus, match="401"):
        async with connected(up, key="sk-another-key-of-theirs"):
            pass


async def test_a_browser_puts_the_key_into_a_subprotocol(serve: Any) -> None:
    up = await served(serve)
    offered = ["realtime", f"openai-insecure-api-key.{KEY}"]
    async with up.socket("/v1/realtime?model=any", subprotocols=offered) as socket:
        assert socket.subprotocol == "realtime"
        assert json.loads(await socket.recv())["type"] == "session.created"
    async with up.socket("/gateways/openai", additional_headers={"Authorization": f"Bearer {KEY}"}) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"


async def test_a_client_may_be_silent_before_its_first_turn(serve: Any) -> None:
    up = await served(serve, server={"handshake_s": 0.2})
    async with connected(up) as connection:
        await asyncio.sleep(0.6)
        await connection.session.update(session={"type": "realtime"})
        await until(connection, "session.updated")


async def test_errors_leave_the_session_open(serve: Any) -> None:
    up = await served(serve)
    async with connected(up) as connection:
        await connection.response.cancel(event_id="mine")
        error = await connection.recv()
        assert (error.type, error.error.code, error.error.event_id) == ("error", "response_cancel_not_active", "mine")
        await connection.response.create()
        await until(connection, "response.done")
    await eventually(lambda: not up.calls.sessions)
