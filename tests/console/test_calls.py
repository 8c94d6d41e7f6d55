import asyncio

from sqlalchemy import insert

from agent.learning.labels import labels_of
from agent.records.database import Turn


async def queued(world, call_id="c-1", handoff_id="h-1"):
    """A call that waits for a person."""
    call = await world.call(call_id)
    call.queued = True
    world.console.follow()
    world.desk.offer(handoff_id, call_id)
    call.tell()
    return call


async def test_two_who_race_for_a_call(world):
    bo, cy = await world.signed_in("bo"), await world.signed_in("cy")
    call = await queued(world)
    first, second = await asyncio.gather(bo.post("calls/c-1/take-over"), cy.post("calls/c-1/take-over"))
    won, lost = (first, second) if first.status_code == 200 else (second, first)
    assert won.status_code == 200
    assert (lost.status_code, lost.json()["code"]) == (409, "taken")
    assert lost.json()["detail"] == f"{call.human} has the call"
    assert [what for _, what, about in await world.audited() if about == "c-1"].count("call_taken") == 1


async def test_agents_take_what_waits_and_steer_what_is_theirs(world):
    bo = await world.signed_in("bo")
    other = await world.call("c-2")
    assert (await bo.post("calls/c-2/take-over")).status_code == 404, "not even that it exists"
    assert (await bo.get("calls/c-2")).status_code == 404
    call = await queued(world)
    assert [state["call_id"] for state in (await bo.get("calls")).json()["calls"]] == ["c-1"]
    early = await bo.post("calls/c-1/say", text="hello")
    assert (early.status_code, early.json()["code"]) == (409, "not_yours")
    assert (await bo.post("calls/c-1/take-over")).status_code == 200
    for path, body in (
        ("say", {"text": "Bo speaking."}),
        ("instruct", {"text": "apologise"}),
        ("press", {"keys": "12#"}),
        ("pause", {"on": True}),
        ("transfer", {"target": "+12125550123"}),
        ("action", {"name": "cancel_order", "arguments": {"order": "42731"}}),
        ("note", {"text": "card 4111 1111 1111 1111"}),
        ("hand-back", {"note": "refunded"}),
    ):
        assert (await bo.post(f"calls/c-1/{path}", **body)).status_code == 200, path
    assert [one for one in call.asked if one[0] != "join"] == [
        ("say", "bo", "Bo speaking."),
        ("instruct", "bo", "apologise"),
        ("press", "12#"),
        ("pause", "bo", True),
        ("transfer", "bo", "+12125550123"),
        ("act", "bo", "cancel_order", {"order": "42731"}),
        ("note", "bo", "card [card]"),
        ("hand_back", "bo", "refunded"),
    ]
    late = await bo.post("calls/c-1/say", text="one more thing")
    assert (late.status_code, late.json()["code"]) == (409, "not_yours")
    assert (await bo.get("calls/c-1")).status_code == 200, "he had it"
    assert other.asked == []
    trail = await world.console.guard.trail.entries(100)
    assert "12#" not in str([row.data for row in trail]), "keys may be a PIN"


async def test_who_had_a_call_may_read_it_after_a_restart(world):
    bo, cy = await world.signed_in("bo"), await world.signed_in("cy")
    await queued(world)
    assert (await bo.post("calls/c-1/take-over")).status_code == 200
    world.running.clear()
    world.console.parts._had.clear()
    assert (await bo.get("calls/c-1")).status_code == 200
    assert (await cy.get("calls/c-1")).status_code == 404


async def test_supervisors_see_and_steer_all(world):
    ann = await world.signed_in("ann", "supervisor")
    call = await world.call("c-1")
    assert (await ann.post("calls/c-1/instruct", text="offer a voucher")).status_code == 200
    told = await ann.post("calls/c-1/instruct", text="nonsense")
    assert (told.status_code, told.json()["detail"]) == (422, "the instruction is not understood; try 'apologise'")
    answer = await ann.post("calls/c-1/take-over")
    assert answer.json()["human"] == "ann"
    assert ("engaged", "ann", "c-1") in world.desk.asked
    world.feed.publish("call_ended", "c-1", {})
    await asyncio.sleep(0)
    assert ("released", "ann", "c-1") in world.desk.asked
    call.over = True
    gone = await ann.post("calls/c-1/hang-up")
    assert (gone.status_code, gone.json()["code"]) == (409, "over")
    del world.running["c-1"]
    assert (await ann.post("calls/c-1/say", text="x")).json()["code"] == "over"


async def test_a_call_whole(world):
    ann = await world.signed_in("ann", "supervisor")
    await world.call("c-0")
    later = {"call_id": "c-0", "number": 2, "speaker": "caller", "text": "bye", "intent": "goodbye", "started_ms": 2.0}
    later |= {"ended_ms": 3.0, "interrupted": False, "must_hear": False, "slots": {}, "emotion": {}}
    async with world.database.engine.begin() as connection:
        await connection.execute(insert(Turn), [later | {"latency": {}, "reasons": {}}])
    await world.call("c-1")
    await ann.post("calls/c-1/note", text="likes tea")
    whole = (await ann.get("calls/c-1")).json()
    assert whole["live"] is True
    assert whole["state"]["call_id"] == "c-1"
    assert [(turn["speaker"], turn["text"]) for turn in whole["turns"]] == [("caller", "cancel it")]
    assert [(note["who"], note["text"]) for note in whole["notes"]] == [("ann", "likes tea")]
    assert [(row["id"], row["intent"]) for row in whole["history"]] == [("c-0", "track_order")]
    assert whole["runnable"][0]["name"] == "cancel_order"
    assert (whole["intents"], whole["topics"]) == (["cancel_order", "track_order"], ["track_order"])
    assert "owner" not in whole["call"]
    del world.running["c-1"]
    recorded = (await ann.get("calls/c-1")).json()
    assert (recorded["live"], recorded["state"], recorded["runnable"]) == (False, None, [])
    listed = (await ann.get("calls?recorded=10")).json()
    assert {row["id"] for row in listed["recorded"]} == {"c-0", "c-1"}
    assert (await ann.get("calls/c-9")).status_code == 404


async def test_wrap_up_is_kept_and_teaches(world):
    bo = await world.signed_in("bo")
    call = await queued(world)
    await world.handoff("h-1", "c-1", "bridged")
    await bo.post("calls/c-1/take-over")
    call.over = True
    del world.running["c-1"]
    for given in (
        {"disposition": "gone"},
        {"disposition": "resolved", "rating": 6},
        {"disposition": "resolved", "x": 1},
    ):
        assert (await bo.post("calls/c-1/wrap-up", **given)).status_code == 422
    unknown = await bo.post("calls/c-1/wrap-up", disposition="resolved", intent="fly")
    assert unknown.json()["detail"].startswith("intent is 'fly'")
    nowhere = await bo.post("calls/c-1/wrap-up", disposition="resolved", intent="cancel_order", turn=7)
    assert nowhere.json()["detail"] == "turn is 7; the caller has no such turn in this call"
    body = {"disposition": "follow_up", "intent": "cancel_order", "slots": {"card": "4111 1111 1111 1111"}, "rating": 4}
    assert (await bo.post("calls/c-1/wrap-up", **body, note="call back")).status_code == 200
    assert (await bo.post("calls/c-1/wrap-up", **{**body, "disposition": "resolved"})).status_code == 200
    kept = (await bo.get("calls/c-1")).json()["wrap_up"]
    assert (kept["disposition"], kept["intent"], kept["rating"]) == ("resolved", "cancel_order", 4)
    assert kept["slots"] == {"card": "[card]"}
    assert kept["handoff_id"] == "h-1"
    [label] = await labels_of(world.database, "shop")
    assert (label.turn, label.intent, label.understood, label.source) == (
        1,
        "cancel_order",
        "track_order",
        "console:bo",
    )
    assert world.desk.asked.count(("wrapped_up", "bo", "h-1", "resolved")) == 1


async def test_a_call_that_the_records_do_not_have_yet(world):
    ann = await world.signed_in("ann", "supervisor")
    await world.call("c-1")
    world.running["c-2"] = world.running["c-1"]
    answer = await ann.post("calls/c-2/note", text="early")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await ann.get("calls/c-2")).json()["turns"] == []


async def test_scripts_in_texts_stay_texts(world):
    ann = await world.signed_in("ann", "supervisor")
    await world.call("c-1", caller="<script>alert(1)</script>")
    await ann.post("calls/c-1/note", text="<img src=x onerror=alert(1)>")
    answer = await ann.get("calls/c-1")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["notes"][0]["text"] == "<img src=x onerror=alert(1)>"


async def test_pictures_of_a_call(world):
    ann, bo = await world.signed_in("ann", "supervisor"), await world.signed_in("bo")
    await world.call("c-1")
    world.console.follow()
    fields = [{"name": "order", "value": "42719", "confidence": 0.9}]
    world.feed.publish("picture", "c-1", {"picture_id": "p-1", "fields": fields, "description": ""})
    [shown] = (await ann.get("calls/c-1")).json()["pictures"]
    assert (shown["id"], shown["fields"]) == ("p-1", fields)
    picture = await ann.http.get(shown["url"])
    assert (picture.content, picture.headers["content-type"]) == (b"jpeg", "image/jpeg")
    assert (await bo.http.get(shown["url"])).status_code == 404
    assert (await ann.get("calls/c-1/pictures/p-2")).status_code == 404
