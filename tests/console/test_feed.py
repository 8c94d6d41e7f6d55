import asyncio
import json

from agent.clock import RealClock
from agent.console.feed import MOST_QUEUED, Feed
from agent.console.parts import Parts


def waiting(subscription):
    """What waits, taken at once."""
    found = [message.value for message in subscription._waiting.values()]
    subscription._waiting.clear()
    return found


async def test_messages_come_in_order_with_their_time():
    feed = Feed(RealClock())
    page = feed.subscribe()
    feed.publish("turn", "c-1", {"number": 0, "text": "你好 <b>"})
    feed.publish("turn", "c-2", {"number": 0})
    first, second = await page.batch()
    assert (first.kind, first.call_id, second.call_id) == ("turn", "c-1", "c-2")
    assert json.loads(first.text)["text"] == "你好 <b>"
    assert first.value["at"].endswith("+00:00")
    assert first.text is first.text, "written as JSON once for all who read it"


async def test_data_cannot_pretend_to_be_of_another_call():
    feed = Feed(RealClock())
    page = feed.subscribe()
    feed.publish("note", "c-1", {"type": "reset", "call": "c-2", "at": "never"})
    [message] = await page.batch()
    assert (message.value["type"], message.value["call"]) == ("note", "c-1")
    assert message.value["at"] != "never"


async def test_a_page_of_one_call_hears_of_it_and_of_no_call():
    feed = Feed(RealClock())
    page = feed.subscribe("c-1")
    for call in ("c-1", "c-2", None):
        feed.publish("alert", call, {})
    assert [message["call"] for message in waiting(page)] == ["c-1", None]


async def test_unfinished_captions_and_states_replace_those_that_wait():
    feed = Feed(RealClock())
    page = feed.subscribe()
    feed.publish("caption", "c-1", {"speaker": "caller", "text": "I", "final": False})
    feed.publish("caption", "c-1", {"speaker": "agent", "text": "Yes", "final": False})
    feed.publish("caption", "c-2", {"speaker": "caller", "text": "We", "final": False})
    feed.publish("state", "c-1", {"phase": "listening"})
    feed.publish("caption", "c-1", {"speaker": "caller", "text": "I want", "final": False})
    feed.publish("state", "c-1", {"phase": "thinking"})
    feed.publish("caption", "c-1", {"speaker": "caller", "text": "I want it", "final": True})
    shown = [message.get("text") or message["phase"] for message in waiting(page)]
    assert shown == ["Yes", "We", "I want", "thinking", "I want it"]


async def test_a_page_too_slow_is_reset_and_goes_on():
    feed = Feed(RealClock())
    slow, quick = feed.subscribe(), feed.subscribe()
    for number in range(MOST_QUEUED + 10):
        feed.publish("turn", "c-1", {"number": number})
        waiting(quick)
    left = waiting(slow)
    assert left[0] == {"type": "reset"}
    assert [message["number"] for message in left[1:]] == list(range(MOST_QUEUED, MOST_QUEUED + 10))
    assert (slow.dropped, quick.dropped) == (MOST_QUEUED, 0)


async def test_one_that_is_broken_does_not_keep_others_from_hearing():
    feed = Feed(RealClock())
    feed.subscribe(wanted=lambda message: 1 / 0 > 0)
    good = feed.subscribe()
    feed.publish("alert", None, {})
    assert len(waiting(good)) == 1


async def test_closing_ends_the_iteration():
    feed = Feed(RealClock())
    page = feed.subscribe()
    feed.publish("alert", None, {"text": "one"})
    heard = []
    async for message in page:
        heard.append(message["text"])
        page.close()
    assert heard == ["one"]
    assert feed.subscribers == 0


async def test_agents_hear_of_what_waits_and_of_what_is_theirs():
    feed, parts = Feed(RealClock()), Parts()
    parts.listen(feed)
    page = feed.subscribe(wanted=lambda message: parts.may_hear("bo", message))

    def heard(call):
        feed.publish("caption", call, {"speaker": "caller", "text": "x", "final": True})
        return len(waiting(page)) == 1

    assert not heard("c-1")
    feed.publish("handoff", "c-1", {"id": "h-1", "state": "ringing"})
    assert [message["type"] for message in waiting(page)] == ["handoff"]
    assert heard("c-1"), "it waits: bo may look at it"
    feed.publish("handoff", "c-1", {"id": "h-1", "state": "bridged", "human": "ann"})
    waiting(page)
    assert not heard("c-1"), "ann has it"
    assert (parts.human("c-1"), parts.given("c-1"), parts.handoff("c-1")) == ("ann", "ann", "h-1")
    feed.publish("state", "c-1", {"with": "human", "human": "bo"})
    waiting(page)
    assert heard("c-1")
    assert parts.calls_of("bo") == ["c-1"]
    feed.publish("state", "c-1", {"with": "agent", "human": None})
    waiting(page)
    assert heard("c-1"), "he had it, and wraps it up"
    assert parts.calls_of("bo") == []


async def test_a_call_on_its_way_to_somebody_stays_his():
    feed, parts = Feed(RealClock()), Parts()
    parts.listen(feed)
    feed.publish("handoff", "c-1", {"id": "h-1", "state": "briefing", "human": "bo"})
    feed.publish("state", "c-1", {"with": "queue"})
    assert parts.given("c-1") == "bo"
    feed.publish("state", "c-1", {"with": "agent"})
    assert parts.given("c-1") == "bo", "the agent takes leave of the caller"
    feed.publish("handoff", "c-1", {"id": "h-1", "state": "queued", "human": None})
    assert parts.given("c-1") is None, "he was lost, and others are asked"
    feed.publish("call_ended", "c-1", {})
    assert not parts.waits("c-1")


async def test_a_call_that_was_handed_back_is_nobodys():
    feed, parts = Feed(RealClock()), Parts()
    parts.listen(feed)
    for state in ("briefing", "bridged"):
        feed.publish("handoff", "c-1", {"id": "h-1", "state": state, "human": "bo"})
    feed.publish("state", "c-1", {"with": "human", "human": "bo"})
    feed.publish("state", "c-1", {"with": "agent"})
    assert parts.given("c-1") is None


async def test_agents_hear_that_a_call_waits_no_more():
    feed, parts = Feed(RealClock()), Parts()
    parts.listen(feed)
    page = feed.subscribe(wanted=lambda message: parts.may_hear("bo", message))
    for last, state in (("state", {"with": "agent"}), ("state", {"with": "human", "human": "cy"}), ("call_ended", {})):
        feed.publish("state", "c-1", {"with": "queue"})
        feed.publish(last, "c-1", state)
        feed.publish("turn", "c-1", {"text": "what only others may know"})
        kinds = [(message["type"], message.get("with")) for message in waiting(page)]
        assert kinds[-1] == (last, state.get("with"))
        assert "turn" not in dict(kinds)


async def test_pages_are_told_what_a_call_knows_where_it_has_changed(world):
    call = await world.call("c-1")
    call.state = lambda: {"with": "agent", "intent": "track_order", "slots": dict(slots), "summary": ""}
    slots = {"order": {"value": "4", "verified": False}}
    world.console.follow()
    page = world.feed.subscribe()
    turn = {"number": 1, "speaker": "caller", "slots": {"order": "4", "yes_no": True}}
    world.feed.publish("turn", "c-1", turn)
    await asyncio.sleep(0)
    assert [message.kind for message in await page.batch()] == ["turn"], "nobody watches"
    world.console.presence.page_opened("ann")
    for _ in range(3):
        world.feed.publish("turn", "c-1", turn)
    await asyncio.sleep(0)
    found = await page.batch()
    assert [message.kind for message in found] == ["turn", "turn", "turn", "facts"]
    assert found[-1].value["slots"] == slots
    world.feed.publish("state", "c-1", {"with": "agent", "phase": "listening"})
    await asyncio.sleep(0)
    assert [message.kind for message in await page.batch()] == ["state"], "nothing has changed"
    slots = {"order": {"value": "4", "verified": True}}
    world.feed.publish("action", "c-1", {"name": "find_order", "ok": True})
    await asyncio.sleep(0)
    assert [message.kind for message in await page.batch()] == ["action", "facts"]
