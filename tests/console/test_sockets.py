import asyncio
import json

import pytest
from consolefakes import serving, told
from websockets.exceptions import ConnectionClosed, InvalidStatus

FRAME = bytes(range(256)) * 2 + bytes(128)


@pytest.fixture
async def base(world):
    async with serving(world) as address:
        yield address


async def closed(socket):
    async with asyncio.timeout(3):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code


async def eventually(true):
    async with asyncio.timeout(3):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def refused(opening):
    with pytest.raises(InvalidStatus) as caught:
        async with opening:
            pass
    return caught.value.response.status_code, json.loads(caught.value.response.body)["code"]


async def test_who_may_open_a_socket(world, base):
    bo = await world.signed_in("bo", base=base)
    await world.call("c-1")
    assert await refused(bo.socket("/console/feed", origin="https://evil.example")) == (403, "origin")
    assert await refused(bo.socket("/console/feed", origin=None)) == (403, "origin")
    assert await refused(bo.socket("/console/feed?call=c-1")) == (404, "not_found")
    assert await refused(bo.socket("/console/audio/c-1?mode=listen")) == (404, "not_found")
    assert await refused(bo.socket("/console/audio/c-1?mode=shout")) == (422, "invalid")
    world.running["c-1"].queued = True
    assert await refused(bo.socket("/console/audio/c-1?mode=listen")) == (403, "role")
    assert await refused(bo.socket("/console/audio/c-1?mode=talk")) == (409, "not_yours")
    bo.http.cookies.clear()
    assert await refused(bo.socket("/console/feed")) == (401, "signed_out")
    assert world.console.guard._sockets == {}


async def test_duty_and_two_who_accept(world, base):
    bo, cy = await world.signed_in("bo", base=base), await world.signed_in("cy", base=base)
    await world.call("c-1")
    async with bo.socket("/console/feed") as one, cy.socket("/console/feed") as two:
        await one.send(json.dumps({"type": "duty", "on": True, "skills": ["orders"], "languages": ["en"]}))
        await eventually(lambda: ("on", "bo", ("orders",), ("en",), 1) in world.desk.asked)
        world.desk.offer("h-1", "c-1")
        for page in (one, two):
            assert (await told(page, "handoff"))["id"] == "h-1"
        for page in (one, two):
            await page.send(json.dumps({"type": "accept", "handoff": "h-1"}))
        lost = two if world.desk.takers.get("h-1") == "bo" else None
        results = await asyncio.gather(told(one, "error", 0.5), told(two, "error", 0.5), return_exceptions=True)
        errors = [result for result in results if isinstance(result, dict)]
        assert len(errors) == 1, "one wins, the other is told"
        assert (errors[0]["code"], errors[0]["for"]) == ("too_late", "h-1")
        assert f"{world.desk.takers['h-1']} has taken it" in errors[0]["detail"]
        assert lost in (two, None)
        for wrong in ("nonsense", '{"type": "fly"}', '{"type": "accept"}', '{"type": "duty", "on": true, "x": 1}'):
            await one.send(wrong)
            assert (await told(one, "error"))["code"] == "invalid"
        await one.send(json.dumps({"type": "accept", "handoff": "h-9"}))
        assert (await told(one, "error"))["code"] == "unknown_handoff"
    await eventually(lambda: ("off", "bo") in world.desk.asked)


async def test_a_page_that_comes_back_stays_on_duty(world, base):
    bo = await world.signed_in("bo", base=base)
    async with bo.socket("/console/feed"):
        pass
    async with bo.socket("/console/feed"):
        await asyncio.sleep(0.1)
        assert ("off", "bo") not in world.desk.asked


async def test_skills_of_the_account_bound_those_on_duty(world, base):
    await world.add("bo", skills=["orders"])
    bo = await world.signed_in("cy", base=base)
    await bo.sign_in("bo")
    async with bo.socket("/console/feed") as page:
        await page.send(json.dumps({"type": "duty", "on": True, "skills": ["loans"]}))
        assert (await told(page, "error"))["code"] == "not_yours"
        await page.send(json.dumps({"type": "duty", "on": True}))
        await eventually(lambda: ("on", "bo", ("orders",), (), 1) in world.desk.asked)


async def test_sound_goes_both_ways_and_a_lost_human_is_told(world, base):
    bo = await world.signed_in("bo", base=base)
    call = await world.call("c-1")
    call.queued = True
    async with bo.socket("/console/feed"):
        assert (await bo.post("calls/c-1/take-over")).status_code == 200
        async with bo.socket("/console/audio/c-1?mode=talk") as sound:
            seat = call.seats["bo"]
            seat.give(None)
            assert await sound.recv() == bytes(640)
            await sound.send(FRAME)
            await eventually(lambda: seat.waiting_ms > 0)
            await sound.send(b"short")
            assert "an audio frame has 5 bytes" in json.loads(await sound.recv())["detail"]
            await sound.send(json.dumps({"type": "mute", "on": True}))
            await sound.send(json.dumps({"type": "hold", "on": True}))
            await eventually(lambda: seat.muted and seat.held)
            await sound.send(json.dumps({"type": "mode", "mode": "barge"}))
            assert json.loads(await sound.recv())["code"] == "role"
            sound.transport.abort()
        await eventually(lambda: ("lost", "bo") in call.asked)
    assert call.human is None


async def test_a_line_that_comes_back_in_time_is_not_lost(world, base):
    bo = await world.signed_in("bo", base=base)
    call = await world.call("c-1")
    call.queued = True
    async with bo.socket("/console/feed"):
        await bo.post("calls/c-1/take-over")
        async with bo.socket("/console/audio/c-1?mode=talk") as sound:
            sound.transport.abort()
        async with bo.socket("/console/audio/c-1?mode=talk"):
            await asyncio.sleep(0.15)
            assert ("lost", "bo") not in call.asked
        await asyncio.sleep(0.15)
        assert ("lost", "bo") not in call.asked, "he closed it himself, and types on"
    await eventually(lambda: ("lost", "bo") in call.asked)


async def test_supervisors_listen_whisper_and_barge(world, base):
    ann = await world.signed_in("ann", "supervisor", base=base)
    call = await world.call("c-1")
    for mode in ("listen", "whisper", "barge"):
        async with ann.socket(f"/console/audio/c-1?mode={mode}") as sound:
            assert call.seats["ann"].mode == mode
            await sound.send(json.dumps({"type": "mode", "mode": "talk"}))
            assert json.loads(await sound.recv())["code"] == "not_yours"
        await eventually(lambda: call.seats["ann"].closed)
    assert [what for who, what, _ in await world.audited() if what.startswith("call_")] == [
        "call_listen",
        "call_whisper",
        "call_barge",
    ]
    async with ann.socket("/console/audio/c-1?mode=listen") as sound:
        call.seats["ann"].close("call_over")
        assert json.loads(await sound.recv()) == {"type": "closed", "reason": "call_over"}
        assert await closed(sound) == 1000


async def test_sockets_end_with_the_session(world, base):
    ann = await world.signed_in("ann", "supervisor", base=base)
    call = await world.call("c-1")
    async with ann.socket("/console/feed") as page, ann.socket("/console/audio/c-1?mode=listen") as sound:
        world.clock.ahead_s += 3601
        assert (await closed(page), await closed(sound)) == (4401, 4401)
    await eventually(lambda: call.seats["ann"].closed)


async def test_who_floods_is_closed(world, base):
    ann = await world.signed_in("ann", "supervisor", base=base)
    await world.call("c-1")
    async with ann.socket("/console/feed") as page:
        for _ in range(120):
            await page.send('{"type": "ping"}')
        assert await closed(page) == 1008
    async with ann.socket("/console/feed") as page:
        await page.send("x" * 5000)
        assert await closed(page) == 1008
    async with ann.socket("/console/audio/c-1?mode=listen") as sound:
        for _ in range(300):
            await sound.send(FRAME)
        assert await closed(sound) == 1008


async def test_one_account_has_so_many_sockets(world, base):
    ann = await world.signed_in("ann", "supervisor", base=base)
    world.console.follow()
    own = world.feed.subscribers
    pages = [await ann.socket("/console/feed") for _ in range(20)]
    assert await refused(ann.socket("/console/feed")) == (429, "too_many_sockets")
    await asyncio.gather(*(page.close() for page in pages))
    await eventually(lambda: not world.console.guard._sockets)
    assert world.feed.subscribers == own, "the console's own"
