"""Call-backs over the console's HTTP interface and its feed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agent.handoff import callbacks


@pytest.fixture
async def waiting(world):
    """A caller who waits to be called back; his call is over."""
    await world.call("c-1")
    world.running.clear()
    await world.handoff("h-1", "c-1", "callback")
    return world


async def test_two_who_race_to_call_somebody_back(waiting):
    bo, cy = await waiting.signed_in("bo"), await waiting.signed_in("cy")
    [row] = (await bo.get("callbacks")).json()["callbacks"]
    assert (row["id"], row["caller"], row["by"]) == ("h-1", "+12125550100", None)
    assert (await bo.get("calls/c-1")).status_code == 404
    first, second = await asyncio.gather(bo.post("callbacks/h-1", do="take"), cy.post("callbacks/h-1", do="take"))
    (won, lost), winner = ((first, second), bo) if first.status_code == 200 else ((second, first), cy)
    assert won.json()["by"] == ("bo" if winner is bo else "cy")
    assert (lost.status_code, lost.json()["code"]) == (409, "too_late")
    assert (await winner.get("calls/c-1")).status_code == 200
    other = cy if winner is bo else bo
    assert (await other.post("callbacks/h-1", do="reached")).status_code == 409
    assert (await winner.post("callbacks/h-1", do="reached")).json() == {"done": True}
    assert (await bo.get("callbacks")).json()["callbacks"] == []
    assert (await bo.post("callbacks/h-9", do="take")).json()["code"] == "unknown_handoff"
    assert (await bo.post("callbacks/h-1", do="sing")).status_code == 422


async def test_tried_noted_and_agreed_for_later(waiting):
    bo = await waiting.signed_in("bo")
    told = waiting.feed.subscribe()
    await bo.post("callbacks/h-1", do="take")
    await bo.post("callbacks/h-1", do="note", note="card 4111 1111 1111 1111 <b>")
    later = waiting.clock.wall() + timedelta(hours=2)
    tried = await bo.post("callbacks/h-1", do="not_reached", note="engaged", again_at=later.isoformat())
    assert tried.json() == {"done": True}
    [row] = (await bo.get("callbacks")).json()["callbacks"]
    assert (row["by"], row["tries"], row["due_at"]) == (None, 1, later.isoformat())
    assert [(note["who"], note["text"]) for note in row["notes"]] == [("bo", "card [card] <b>"), ("bo", "engaged")]
    kept = (await bo.get("calls/c-1")).json()["notes"]
    assert [note["text"] for note in kept] == ["card [card] <b>", "engaged"]
    messages = [message.value for message in await told.batch()]
    assert [message["waiting"] for message in messages if message["type"] == "callbacks"] == [1], "the last is enough"
    assert [message["text"] for message in messages if message["type"] == "note"] == ["card [card] <b>", "engaged"]
    said = [(what, about) for who, what, about in await waiting.audited() if what.startswith("callback_")]
    assert said == [("callback_take", "h-1"), ("callback_note", "h-1"), ("callback_not_reached", "h-1")]


async def test_whose_it_is_to_give_back(waiting):
    bo, cy = await waiting.signed_in("bo"), await waiting.signed_in("cy")
    ann = await waiting.signed_in("ann", "supervisor")
    await bo.post("callbacks/h-1", do="take")
    for answer in (await cy.post("callbacks/h-1", do="release"), await ann.post("callbacks/h-1", do="note", note="x")):
        assert (answer.status_code, answer.json()["code"]) == (409, "too_late")
    assert (await ann.post("callbacks/h-1", do="release")).status_code == 200
    assert (await bo.post("callbacks/h-1", do="reached")).json()["code"] == "too_late"
    assert (await bo.get("queue")).json()["callbacks"] == 1
    await bo.post("callbacks/h-1", do="take")
    assert (await bo.get("queue")).json()["callbacks"] == 0
    assert (await bo.post("callbacks/h-1", do="release")).status_code == 200


async def test_a_caller_who_is_still_on_the_line(waiting):
    bo = await waiting.signed_in("bo")
    await waiting.call("c-2", caller=None)
    await waiting.handoff("h-2", "c-2", "callback")
    rows = (await bo.get("callbacks")).json()["callbacks"]
    assert [(row["id"], row["live"]) for row in rows] == [("h-1", False), ("h-2", True)]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"do": "note"}, "note is empty"),
        ({"do": "note", "note": " "}, "note is empty"),
        ({"do": "release", "note": "x"}, "does not go with release"),
        ({"do": "reached", "again_at": "2099-01-01T00:00:00Z"}, "goes with not_reached only"),
        ({"do": "not_reached", "again_at": "2099-01-01T00:00:00Z"}, "within 60 days"),
        ({"do": "not_reached", "again_at": "2031-01-01T00:00:00"}, "again_at"),
        ({"do": "not_reached", "note": "x" * 2001}, "note"),
        ({"do": "take", "who": "cy"}, "who"),
    ],
)
async def test_what_is_refused(waiting, body, why):
    bo = await waiting.signed_in("bo")
    await bo.post("callbacks/h-1", do="take")
    answer = await bo.post("callbacks/h-1", **body)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]
    [row] = (await bo.get("callbacks")).json()["callbacks"]
    assert (row["by"], row["notes"]) == ("bo", [])


async def test_who_may(waiting):
    bo = await waiting.signed_in("bo")
    path = "/console/api/callbacks/h-1"
    forged = await bo.http.post(path, json={"do": "take"}, headers={"X-CSRF-Token": "x"})
    assert (forged.status_code, forged.json()["code"]) == (403, "csrf")
    foreign = await bo.http.post(path, json={"do": "take"}, headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "origin")
    assert [row["by"] for row in (await bo.get("callbacks")).json()["callbacks"]] == [None]
    await bo.post("sign-out")
    assert (await bo.get("callbacks")).status_code == 401
    assert (await bo.post("callbacks/h-1", do="take")).status_code == 401


async def test_the_list_is_read_once_for_all_pages(waiting, monkeypatch):
    bo, cy = await waiting.signed_in("bo"), await waiting.signed_in("cy")
    waiting.console.follow()
    read = []
    list_callbacks = callbacks.list_callbacks

    async def counted(*given, **named):
        read.append(named["now"])
        return await list_callbacks(*given, **named)

    monkeypatch.setattr(callbacks, "list_callbacks", counted)
    answers = await asyncio.gather(*(one.get("callbacks") for one in (bo, cy) * 5))
    assert {len(answer.json()["callbacks"]) for answer in answers} == {1}
    assert len(read) == 1
    await waiting.handoff("h-2", "c-1", "callback")
    waiting.feed.publish("callbacks", None, {"waiting": 2})
    assert len((await bo.get("callbacks")).json()["callbacks"]) == 2, "told of, it is read anew"
    await waiting.handoff("h-3", "c-1", "callback")
    assert len((await bo.get("callbacks")).json()["callbacks"]) == 2
    waiting.clock.ahead_s += 6
    assert len((await bo.get("callbacks")).json()["callbacks"]) == 3, "what other servers did is seen later"
