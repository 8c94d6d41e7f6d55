"""The public addresses of a running server: pages, visits, sockets and pictures, and who is turned away."""

import asyncio
import json
import logging

import pytest
from chatfakes import picture
from live import Typed, closed, cut, eventually
from websockets.exceptions import InvalidStatus

from models.slots import SlotSpec

TYPED = {"type": "start", "version": 1, "rate": 16000, "mode": "text", "audio": False}
SPOKEN = {"type": "start", "version": 1, "rate": 16000, "mode": "voice"}
JPEG = {"Content-Type": "image/png"}


async def visit(up, kind="chat", **more):
    answer = await up.http.post("/chat/visits", json={"kind": kind, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def secret(told):
    return {"X-Visit-Secret": told["secret"]}


async def ticket(up, told, what="ticket"):
    return await up.http.post(f"/chat/visits/{told['visit']}/{what}", headers=secret(told))


async def test_pages_are_served_with_a_strict_policy(chat):
    up = await chat()
    for path in ("/chat", "/call", "/pictures/anything"):
        page = await up.http.get(path)
        policy = page.headers["content-security-policy"]
        assert page.status_code == 200
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script>" not in page.text
        assert "style=" not in page.text
        assert ("microphone=(self)" in page.headers["permissions-policy"]) is (path == "/call")
    script = await up.http.get("/chat/static/worklet.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for path in ("/chat/static/../pages.py", "/chat/static/chat.html", "/chat/static/none.js"):
        assert (await up.http.get(path)).status_code == 404
    about = (await up.http.get("/chat/about")).json()
    assert about == {"kinds": ["chat", "call"], "pictures": True, "picture_bytes": 8_000_000, "sure": 0.8}


async def test_a_chat_is_answered_and_shows_no_reasons(chat):
    up = await chat()
    told = await visit(up)
    async with up.socket(told["path"]) as socket:
        start = {**TYPED, "caller": "+12125550100", "call_id": "another", "parameters": {"account": "1"}}
        await socket.send(json.dumps(start))
        caller = Typed(socket)
        await caller.shown("How can I help?")
        seen = []
        await caller.type("hello")
        while True:
            message = json.loads(await asyncio.wait_for(socket.recv(), 5))
            seen.append(message["type"])
            if message["type"] == "caption" and "You said hello." in message["text"] and message["final"]:
                break
        assert "turn" not in seen
        await caller.stop()
    record = await up.record(told["visit"])
    call = record["call"]
    assert (call["id"], call["gateway"], call["caller"]) == (told["visit"], "web-chat", None)
    assert "account" not in json.dumps(record)


async def test_a_chat_that_breaks_goes_on_over_a_new_ticket(chat):
    up = await chat(server={"return_s": 5.0})
    told = await visit(up)
    async with up.socket(told["path"]) as socket:
        await socket.send(json.dumps(TYPED))
        await Typed(socket).shown("How can I help?")
        cut(socket)
    await eventually(lambda: not up.chat.visits._visits[told["visit"]].connected or len(up.calls.sessions) == 1)
    way = (await ticket(up, told)).json()["path"]
    async with up.socket(way) as socket:
        await socket.send(json.dumps(TYPED))
        caller = Typed(socket)
        await caller.answered("still there")
        await caller.stop()
    assert (await up.record(told["visit"]))["call"]["outcome"] == "caller_left"
    await up.empty()
    over = await ticket(up, told)
    assert (over.status_code, over.json()["error"]) == (410, "call_over")


async def test_a_call_has_sound_and_nowhere_to_be_transferred_and_a_visit_is_of_one_kind(chat):
    up = await chat()
    told = await visit(up, "call")
    async with up.socket(told["path"]) as socket:
        await socket.send(json.dumps(SPOKEN))
        async with asyncio.timeout(5):
            while not isinstance(await socket.recv(), bytes):
                pass
        session = up.calls.sessions[told["visit"]]
        assert session.protocol.capabilities.transfer == "none"
        await socket.send(json.dumps({"type": "stop"}))
    assert (await up.record(told["visit"]))["call"]["gateway"] == "web-call"
    for kind, start in (("chat", SPOKEN), ("call", TYPED)):
        async with up.socket((await visit(up, kind))["path"]) as socket:
            await socket.send(json.dumps(start))
            assert await closed(socket) == 1003


NONSENSE = [
    (b'{"kind": "fax"}', 422, "bad_field"),
    (b'{"kind": "chat", "language": "tlh"}', 422, "bad_field"),
    (b'{"kind": ["chat"]}', 422, "bad_field"),
    (b"[]", 400, "not_json"),
    (b"{", 400, "not_json"),
    (b"[" * 2000, 400, "not_json"),
    (b'"' + b"x" * 3000 + b'"', 413, "too_large"),
]


async def test_neither_nonsense_nor_other_sites_get_in(chat):
    up = await chat()
    for body, status, code in NONSENSE:
        answer = await up.http.post("/chat/visits", content=body)
        assert (answer.status_code, answer.json()["error"]) == (status, code)
    told = await visit(up)
    elsewhere = {"Origin": "https://elsewhere.example"}
    hidden = {"Origin": "null"}
    for headers in (elsewhere, hidden, {"Sec-Fetch-Site": "cross-site"}):
        assert (await up.http.post("/chat/visits", json={"kind": "chat"}, headers=headers)).status_code == 403
        way = f"/chat/visits/{told['visit']}/ticket"
        assert (await up.http.post(way, headers={**headers, **secret(told)})).status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        await up.socket(told["path"], additional_headers=elsewhere)
    assert refused.value.response.status_code == 403
    async with up.socket(told["path"], additional_headers={"Origin": up.address}):
        pass  # the ticket was not used up by the other site
    wrong = await up.http.post(f"/chat/visits/{told['visit']}/ticket", headers={"X-Visit-Secret": "x"})
    nobody = await up.http.post("/chat/visits/c-0/ticket", headers=secret(told))
    assert wrong.status_code == nobody.status_code == 404
    assert wrong.json() == nobody.json()  # whether id or secret is wrong is not told
    told = await visit(up)
    async with up.socket(told["path"]):
        with pytest.raises(InvalidStatus) as refused:
            await up.socket(told["path"])
        assert refused.value.response.status_code == 401
    for path in ("/chat/socket/none", "/chat/socket/" + "x" * 3000):
        with pytest.raises(InvalidStatus) as refused:
            await up.socket(path)
        assert refused.value.response.status_code in (401, 404, 414, 431)


async def test_limits_by_address_an_idle_chat_and_what_is_left_out(chat):
    up = await chat(new_per_minute=3, most_per_address=1, calls=False, pictures=False, idle_s=0.4)
    assert (await up.http.get("/call")).status_code == 404
    assert (await up.http.get("/chat/about")).json()["pictures"] is False
    assert (await up.http.post("/pictures/x", content=b"", headers=JPEG)).status_code in (404, 405)
    assert (await up.http.post("/chat/visits", json={"kind": "call"})).status_code == 422
    told = await visit(up)
    second = await visit(up)
    async with up.socket(told["path"]):
        answer = await up.http.post("/chat/visits", json={"kind": "chat"})
        assert (answer.status_code, answer.json()["error"]) == (429, "too_many_calls")
        with pytest.raises(InvalidStatus) as refused:
            await up.socket(second["path"])
        assert refused.value.response.status_code == 429
    answer = await up.http.post("/chat/visits", json={"kind": "chat"})
    assert (answer.status_code, answer.json()["error"]) == (429, "rate_limited")
    assert await up.refused("rate_limited") == 1
    async with up.socket((await ticket(up, second)).json()["path"]) as socket:
        await socket.send(json.dumps(TYPED))
        assert await closed(socket) == 1000
    assert (await up.record(second["visit"]))["call"]["reason"] == "visitor_idle"


async def test_a_picture_is_read_once_and_what_is_sure_reaches_the_dialogue(chat):
    up = await chat()
    up.chat.desk._slots = lambda call_id: [SlotSpec("order_number", "digits", {"min_length": 5, "max_length": 5})]
    told = await visit(up)
    path = (await ticket(up, told, "picture")).json()["path"]
    async with up.socket(told["path"]) as socket:
        await socket.send(json.dumps(TYPED))
        caller = Typed(socket)
        await caller.shown("How can I help?")
        answer = await up.http.post(path, content=picture(), headers=JPEG)
        assert answer.status_code == 200, answer.text
        await caller.shown("You said order number 42719.")
        await caller.stop()
    read = answer.json()
    assert {one["name"]: (one["value"], one["delivered"]) for one in read["fields"]} == {
        "order_number": ("42719", True),
        "total": ({"minor": 20318, "currency": "USD"}, False),
        "date": ("2026-11-03", False),
    }
    assert up.chat.desk.shelf.get(told["visit"], read["picture_id"])[:2] == b"\xff\xd8"
    again = await up.http.post(path, content=picture(), headers=JPEG)
    assert (again.status_code, again.json()["error"]) == (401, "token_used")
    await up.empty()
    later = await up.http.post(read["next"], content=picture(), headers=JPEG)
    assert not any(one["delivered"] for one in later.json()["fields"])  # nobody is there to take it


NO_PICTURES = [
    (b"GIF89a", "image/gif", 415, "unknown_format"),
    (b"GIF89a", "image/png", 422, "unknown_format"),
    (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image/png", 422, "damaged"),
    (b"", "image/png", 422, "unknown_format"),
    (b"x" * 200_000, "image/png", 413, "too_large"),
]


async def test_what_is_no_picture_or_not_whole_is_refused_and_may_be_tried_again(chat, caplog):
    up = await chat(picture_mb=0.1, pictures_per_call=7)
    told = await visit(up)
    path = (await ticket(up, told, "picture")).json()["path"]
    for content, kind, status, code in NO_PICTURES:
        answer = await up.http.post(path, content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]) == (status, code)
        path = answer.json().get("next") or path

    async def endless():
        for _ in range(40):
            yield b"x" * 10_000

    answer = await up.http.post(path, content=endless(), headers=JPEG)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")
    path = answer.json()["next"]
    _, writer = await asyncio.open_connection("127.0.0.1", up.port)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n\r\n"
    writer.write(head.encode() + b"x" * 100)
    await writer.drain()
    await eventually(lambda: up.chat.uploads == 1)
    writer.transport.abort()
    await eventually(lambda: up.chat.uploads == 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    path = (await ticket(up, told, "picture")).json()["path"]
    assert (await up.http.post(path, content=picture(), headers=JPEG)).status_code == 200
    path = (await ticket(up, told, "picture")).json()["path"]
    last = await up.http.post(path, content=picture(), headers=JPEG)
    assert last.json()["next"] is None
    more = await ticket(up, told, "picture")
    assert (more.status_code, more.json()["error"]) == (429, "too_many_pictures")
