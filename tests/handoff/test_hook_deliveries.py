import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from handoff_receiver import KEY, VirtualClock
from hook_desk import AT, REQUEST, Said, desk, event, in_turn

from agent.clock import RealClock
from agent.handoff.hooks.deliveries import Hooks, retry
from agent.handoff.hooks.events import HandoffEvent, read_event
from agent.handoff.hooks.letters import DeadLetters, LetterError
from agent.handoff.hooks.signed import SignedHook, encode_event
from agent.handoff.webhook import MAX_REQUEST, verify_signature
from agent.outbound import OutboundError


async def until(condition) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.004)
    raise AssertionError("it did not happen within 2 s")


def signed(url: str, clock: VirtualClock, **more) -> SignedHook:
    return SignedHook("desk", url, KEY, clock, **({"allow_private": True} | more))


class Held:
    """A hook that waits until it is let go."""

    name = "held"

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.told: list[HandoffEvent] = []

    def wants(self, one: HandoffEvent) -> bool:
        return one.step != "bridged"

    async def deliver(self, one: HandoffEvent) -> None:
        await self.go.wait()
        if one.detail == "mistake":
            raise RuntimeError("a mistake of ours")
        self.told.append(one)


async def test_every_step_is_posted_signed_and_in_order(clock: VirtualClock, tmp_path: Path) -> None:
    async with desk(lambda asked: (204, None)) as there:
        hooks = Hooks([signed(there.url + "/told", clock)], DeadLetters(tmp_path), clock)
        for step in ("queued", "accepted", "bridged", "ended"):
            await hooks.tell(event(step, human="robin"))
        await until(lambda: hooks.counters["desk_delivered"] == 4)
        await hooks.aclose(0)
    assert [asked.json["type"] for asked in there.seen] == [
        "handoff.queued", "handoff.accepted", "handoff.bridged", "handoff.ended",
    ]  # fmt: skip
    first = there.seen[0]
    verify_signature(KEY.encode(), first.headers, first.body, clock.wall())
    assert first.line == "POST /told"
    assert first.headers["idempotency-key"] == first.json["event_id"] == event().event_id
    assert first.json["handoff"]["slots"] == {"order": {"value": "54321", "verified": True}}
    assert (first.json["human"], first.json["at"]) == ("robin", "2031-05-01T12:00:00+00:00")


async def test_a_flaky_receiver_is_asked_again(clock: VirtualClock, tmp_path: Path) -> None:
    async with desk(in_turn((503, None), None, (200, {}))) as there:
        await signed(there.url, clock).deliver(event())
    assert len(there.seen) == 3
    assert len({asked.headers["idempotency-key"] for asked in there.seen}) == 1


async def test_what_cannot_be_told_becomes_a_dead_letter_and_is_told_later(clock: VirtualClock, tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead")
    answer: list[Said] = [(500, None)]
    async with desk(lambda asked: answer[0]) as there:
        hook = signed(there.url, clock, budget_s=3)
        hooks = Hooks([hook], letters, clock)
        await hooks.tell(event(detail="desk 4"))
        await until(lambda: hooks.counters["desk_dead"] == 1)
        await hooks.aclose(0)
        (letter_id,) = letters.ids()
        letter = letters.read(letter_id)
        assert (letter.hook, letter.code, letter.event) == ("desk", "status_500", event(detail="desk 4"))
        assert "gave up after" in letter.why
        path = tmp_path / "dead" / f"{letter_id}.json"
        assert path.stat().st_mode & 0o077 == 0
        assert KEY not in path.read_text()
        with pytest.raises(OutboundError):
            await retry(letter, {"desk": hook}, letters)
        assert letters.read(letter_id).retries == 1
        answer[0] = (200, None)
        await retry(letters.read(letter_id), {"desk": hook}, letters)
    assert letters.ids() == []
    assert len({asked.headers["idempotency-key"] for asked in there.seen}) == 1


async def test_a_slow_hook_holds_up_neither_callers_nor_others(tmp_path: Path) -> None:
    clock, letters, slow = RealClock(), DeadLetters(tmp_path), Held()
    async with desk(lambda asked: (200, None)) as there:
        hooks = Hooks([slow, signed(there.url, clock)], letters, clock, most=2)
        for number in range(4):
            await hooks.tell(event(detail=str(number)))
            await until(lambda told=number + 1: hooks.counters["desk_delivered"] == told)
        await hooks.tell(event("bridged"))
        await until(lambda: hooks.counters["desk_delivered"] == 5 and hooks.counters["held_dead"] == 1)
        await hooks.aclose(0.05)
    found = {(one.event.detail, one.code) for one in map(letters.read, letters.ids()) if one.hook == "held"}
    assert found == {("0", "stopped"), ("1", "stopped"), ("2", "stopped"), ("3", "overflow")}
    assert slow.told == []


async def test_a_call_that_takes_long_does_not_hold_up_other_calls(clock: VirtualClock, tmp_path: Path) -> None:
    order: list[str] = []
    slow = asyncio.Event()

    class Uneven(Held):
        async def deliver(self, one: HandoffEvent) -> None:
            if one.request.handoff_id == "h-1":
                await slow.wait()
            order.append(f"{one.request.handoff_id} {one.step}")

    hooks = Hooks([Uneven()], DeadLetters(tmp_path), clock)
    other = replace(REQUEST, handoff_id="h-2")
    for one in (event(), event("accepted"), event(request=other), event("accepted", request=other)):
        await hooks.tell(one)
    await until(lambda: order == ["h-2 queued", "h-2 accepted"])
    slow.set()
    await until(lambda: order[2:] == ["h-1 queued", "h-1 accepted"])
    await hooks.aclose(0)
    assert hooks.counters == {"held_delivered": 4}


async def test_a_mistake_of_one_event_does_not_stop_the_next(clock: VirtualClock, tmp_path: Path) -> None:
    letters, hook = DeadLetters(tmp_path), Held()
    hook.go.set()
    hooks = Hooks([hook], letters, clock)
    await hooks.tell(event(detail="mistake"))
    await hooks.tell(event(detail="fine"))
    await until(lambda: [one.detail for one in hook.told] == ["fine"])
    await hooks.aclose(0)
    assert letters.read(letters.ids()[0]).why == "RuntimeError: a mistake of ours"
    await hooks.tell(event())  # after the end: nothing happens
    assert len(hook.told) == 1


async def test_a_folder_that_cannot_be_written_is_counted(clock: VirtualClock, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    hooks = Hooks([Held()], DeadLetters(tmp_path / "file" / "dead"), clock)
    await hooks.tell(event())
    await hooks.aclose(0)
    assert hooks.counters == {"lost": 1}


def test_letters_are_bounded_and_erased_by_call(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, most=3)
    for number in range(5):
        letters.add("desk", event(detail=str(number)), "timeout", "late", AT.replace(second=number))
    assert [letters.read(one).event.detail for one in letters.ids()] == ["2", "3", "4"]
    assert letters.counters["dropped"] == 2
    assert letters.erase(["another"]) == 0
    assert letters.erase([REQUEST.call_id]) == 3
    assert letters.ids() == []


@pytest.mark.parametrize("bad", ["../../etc/passwd", "20310501T120000000000-0000000g", ""])
def test_strange_ids_are_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(LetterError, match="no id of a dead letter"):
        DeadLetters(tmp_path).read(bad)


def test_broken_letters_say_so(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letter_id = letters.add("desk", event(), "timeout", "late", AT)
    with pytest.raises(LetterError, match="there is no dead letter"):
        letters.read("20310501T120000000000-00000000")
    for text in ("{", "[]", '{"event": {}}'):
        (tmp_path / f"{letter_id}.json").write_text(text)
        with pytest.raises(LetterError, match="cannot be read"):
            letters.read(letter_id)


def test_events_survive_json_and_bad_ones_are_named() -> None:
    one = event("accepted", human="robin", transfer_to="+12125550100", detail="desk 4")
    assert read_event(json.loads(json.dumps(one.plain()))) == one
    plain = one.plain()
    for change, words in (
        ({"step": "gone"}, "step is 'gone'"),
        ({"at": "soon"}, "at is 'soon'"),
        ({"at": "2031-05-01T12:00:00"}, "must have a zone"),
        ({"handoff": {}}, "handoff.handoff_id is None"),
        ({"handoff": None}, "handoff is missing"),
    ):
        with pytest.raises(ValueError, match=words):
            read_event(plain | change)


def test_two_hooks_of_one_name_are_refused(clock: VirtualClock, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'held' appears twice"):
        Hooks([Held(), Held()], DeadLetters(tmp_path), clock)


def test_a_long_transcript_loses_its_oldest_rows() -> None:
    rows = [{"speaker": "caller", "text": f"{n} " + "word " * 100, "at_ms": n} for n in range(2000)]
    body = encode_event(event(request=replace(REQUEST, transcript=rows)))
    kept = json.loads(body)["handoff"]["transcript"]
    assert len(body) <= MAX_REQUEST
    assert kept[-1]["at_ms"] == 1999
    with pytest.raises(OutboundError, match="without its transcript"):
        encode_event(event(request=replace(REQUEST, summary="x" * MAX_REQUEST)))


async def test_private_addresses_are_refused(clock: VirtualClock) -> None:
    async with desk(lambda asked: (200, None)) as there:
        hook = SignedHook("desk", there.url.replace("http", "https"), KEY, clock)
        with pytest.raises(OutboundError, match="allow_private on the hook"):
            await hook.deliver(event())
    assert there.seen == []
