import asyncio
import json
import sys
import time
from pathlib import Path

import pytest
from consolefakes import serving

CONSOLES, CALLS, LISTENERS = 20, 50, 5
SECONDS = 8.0


async def talk(world, call, number):
    """What a call tells in a second: four guesses of what is said, one of how it stands, now and then a turn."""
    await asyncio.sleep(number / CALLS)
    for second in range(int(SECONDS)):
        for guess in range(4):
            caption = {"speaker": "caller", "text": "where is my order " * (guess + 1), "final": guess == 3}
            world.feed.publish("caption", call.call_id, caption | {"sent": time.monotonic()})
            await asyncio.sleep(0.2)
        world.feed.publish("state", call.call_id, call.state() | {"sent": time.monotonic()})
        if second % 2:
            turn = {"number": second, "speaker": "caller", "text": "where is my order " * 6, "slots": {}, "reasons": {}}
            world.feed.publish("turn", call.call_id, turn | {"sent": time.monotonic()})
        await asyncio.sleep(0.2)


async def listen(world, browser, call):
    async with browser.socket(f"/console/audio/{call.call_id}?mode=listen") as sound:
        seat = next(reversed(call.seats.values()))
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            seat.give(None)
            await sound.recv()
            await asyncio.sleep(0.018)


async def look(browser, calls):
    """What pages ask as people click about."""
    for number in range(int(SECONDS)):
        assert (await browser.get("calls")).status_code == 200
        assert (await browser.get(f"calls/{calls[number].call_id}")).status_code == 200
        await asyncio.sleep(0.8)


async def lag(found):
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.01)
        found.append((time.monotonic() - before - 0.01) * 1000.0)


@pytest.mark.slow
@pytest.mark.aside
async def test_twenty_consoles_watch_fifty_calls(world):
    calls = [await world.call(f"c-{number}") for number in range(CALLS)]
    async with serving(world) as base:
        own = world.feed.subscribers
        browsers = [await world.signed_in(f"ann{number}", "supervisor", base=base) for number in range(CONSOLES)]
        cookies = [f"callagent_session={browser.http.cookies['callagent_session']}" for browser in browsers]
        script = str(Path(__file__).parent / "watchers.py")
        arguments = (sys.executable, script, base, json.dumps(cookies), str(SECONDS + 2))
        watching = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(20):
            while world.feed.subscribers < CONSOLES + own:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        lags: list[float] = []
        measuring = asyncio.create_task(lag(lags))
        await asyncio.gather(
            *(talk(world, call, number) for number, call in enumerate(calls)),
            *(listen(world, browsers[number], calls[number]) for number in range(LISTENERS)),
            look(browsers[0], calls),
        )
        measuring.cancel()
        told, _ = await watching.communicate()
        for browser in browsers:
            await browser.http.aclose()
    report = json.loads(told)
    lags.sort()
    print(report, f"lag p95 {lags[int(len(lags) * 0.95)]:.1f} ms of {len(lags)}")
    assert report["resets"] == 0
    assert report["messages"] > CONSOLES * CALLS * SECONDS * 3
