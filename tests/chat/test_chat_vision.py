"""Descriptions by a vision model, against a local server that keeps the requests."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest
from chatfakes import ScriptedReader, picture
from pydantic import ValidationError

from agent.chat.desk import PictureDesk
from agent.chat.settings import ChatSettings, VisionSettings
from agent.chat.vision import Vision, VisionError, new_vision, said
from agent.clock import RealClock


def completion(text) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


@asynccontextmanager
async def server(body: bytes, status: str = "200 OK", wait_s: float = 0.0):
    asked = []

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(next(line for line in head.lower().splitlines() if line.startswith("content-length"))[15:])
        asked.append((head, json.loads(await reader.readexactly(length))))
        await asyncio.sleep(wait_s)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", asked
    finally:
        listening.close()


async def test_a_picture_is_sent_and_described():
    async with server(completion(" A torn\ntent. ")) as (url, asked):
        vision = Vision(url, "see", "key-of-the-tests", 2.0, 100)
        assert await vision.describe(b"\xff\xd8jpeg", "zh") == "A torn tent."
        await vision.aclose()
    head, body = asked[0]
    assert head.startswith("POST /v1/chat/completions")
    assert "authorization: bearer key-of-the-tests" in head.lower()
    text, image = body["messages"][0]["content"]
    assert (body["model"], body["max_tokens"], body["stream"]) == ("see", 100, False)
    assert "Chinese" in text["text"]
    assert base64.b64decode(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,")) == b"\xff\xd8jpeg"


@pytest.mark.parametrize(
    ("body", "status", "wait_s", "code"),
    [
        (b"{}", "200 OK", 0, "bad_response"),
        (b"no", "200 OK", 0, "bad_response"),
        (completion(" "), "200 OK", 0, "bad_response"),
        (completion(["parts"]), "200 OK", 0, "bad_response"),
        (completion("x" * 70_000), "200 OK", 0, "too_large"),
        (b"", "500 Oops", 0, "status"),
        (b"", "302 Found", 0, "status"),
        (completion("late"), "200 OK", 1, "timeout"),
    ],
)
async def test_whatever_goes_wrong_is_no_description(body, status, wait_s, code):
    async with server(body, status, wait_s) as (url, _):
        vision = Vision(url, "see", None, 0.2, 100)
        with pytest.raises(VisionError) as failed:
            await vision.describe(b"x")
        await vision.aclose()
    assert failed.value.code == code


async def test_nobody_there_is_unreachable():
    vision = Vision("http://127.0.0.1:9/v1", "see", None, 1.0, 100)
    with pytest.raises(VisionError) as failed:
        await vision.describe(b"x")
    await vision.aclose()
    assert failed.value.code == "unreachable"


def test_long_descriptions_are_cut_at_a_word():
    cut = said(completion("word " * 200))
    assert len(cut) <= 400
    assert cut.endswith("word…")


async def at_once(work):
    return work()


async def test_only_where_nothing_was_read_and_without_private_numbers():
    async with server(completion("A card 4111 1111 1111 1111.")) as (url, asked):
        vision = new_vision(VisionSettings(base_url=url, model="see"), None)
        desk = PictureDesk(ChatSettings(), at_once, RealClock(), reader=ScriptedReader(), vision=vision)
        assert (await desk.take("c", picture())).description == "A card [card]."
        await desk.aclose()
    assert len(asked) == 1
    async with server(b"", "500 Oops") as (url, _):
        desk = PictureDesk(
            ChatSettings(), at_once, RealClock(), reader=ScriptedReader(), vision=Vision(url, "see", None, 1, 50)
        )
        assert (await desk.take("c", picture())).description is None
        await desk.aclose()


@pytest.mark.parametrize("given", [{"model": "see"}, {"base_url": "http://outside.example/v1", "model": "see"}])
def test_settings_that_cannot_work_are_refused(given):
    with pytest.raises(ValidationError):
        VisionSettings(**given)
    assert new_vision(VisionSettings(), None) is None
