"""The console's page in a real browser (Debian's chromium), against a scripted server; the microphone is a WAV file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pagefake import AT, FRAME, FakeConsole, call_state, eventually, recording, whole
from pagevoice import CHROMIUM, browser_options

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.aside,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt install chromium"),
]
expect = sync_api.expect

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(**browser_options(tmp_path_factory.mktemp("microphone")))
        yield browser
        browser.close()


@pytest.fixture
def console() -> Iterator[FakeConsole]:
    with FakeConsole().serving() as console:
        yield console
    assert console.bad_requests == []


@pytest.fixture
def visit(browser: Any, console: FakeConsole) -> Iterator[Open]:
    """Open the page: `visit("queue", scheme="dark")`. Nothing may go wrong in its scripts or against its policy."""
    contexts, wrong = [], []

    def open_page(place: str = "live", *, microphone: bool = True, language: str | None = None, **options: Any) -> Any:
        context = browser.new_context(
            permissions=["microphone"] if microphone else [], color_scheme=options.pop("scheme", "light"), **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda line: wrong.append(line.text) if "Security Policy" in line.text else None)
        page.on("request", lambda asked: None if _own(asked.url, console) else wrong.append(asked.url))
        if language:
            page.add_init_script(f"try {{ localStorage.setItem('console.language', '{language}') }} catch {{}}")
        page.goto(f"{console.address}/console#{place}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def _own(url: str, console: FakeConsole) -> bool:
    return url.startswith((console.address, console.address.replace("http", "ws"), "about:", "blob:"))


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def talking(console: FakeConsole, visit: Open, **options: Any) -> Any:
    """A page whose owner has taken a call over, by voice."""
    console.calls["c-1"] = call_state("c-1")
    console.whole["c-1"] = whole("c-1")
    page = visit("call/c-1", **options)
    button(page, "Take over").click()
    eventually(lambda: console.modes == ["talk"])
    return page


def test_signing_in_and_out(console: FakeConsole, visit: Open):
    console.signed_in = False
    console.refusals["sign-in"] = (401, {"code": "wrong", "detail": "name or password is wrong"})
    page = visit()
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(page.get_by_label("Password")).to_have_value("")
    console.refusals["sign-in"] = (429, {"code": "locked", "detail": "too many"})
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Try again in 7 s")
    del console.refusals["sign-in"]
    page.get_by_label("Password").fill("right and long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
    button(page, "Sign out").click()
    expect(button(page, "Sign in")).to_be_visible()
    assert console.posts("sign-in")[-1] == {"name": "ana", "password": "right and long enough"}


def test_live_calls_change_as_they_happen(console: FakeConsole, visit: Open):
    console.calls["c-1"] = call_state("c-1")
    page = visit()
    rows = page.locator("table.calls tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Order status")
    first = rows.first.locator("time").inner_text()
    page.locator("table.calls a").focus()
    page.evaluate(WHEN_CHANGED)
    began = time.time()
    console.push("state", "c-1", phase="speaking")
    console.push("turn", "c-1", number=2, speaker="caller", text="x", intent="complaint", slots={},
                 emotion={"words": "angry", "both": "angry", "both_angry": 0.9})  # fmt: skip
    expect(rows.first).to_contain_text("Complaint")
    assert page.evaluate("window.changedAt") - began * 1000 < 1000, "0.1 s where the machine has nothing else to do"
    assert page.evaluate("document.activeElement.textContent") == "+1 503 555 0142", "the focus stays where it was"
    expect(rows.first.locator("svg")).to_have_attribute("aria-label", "Emotion by turn: 1: neutral 10%, 2: angry 90%")
    console.push("call_started", "c-2", caller="+1 202 555 0110", gateway="plain")
    console.push("handoff", "c-2", id="h-2", state="queued", position=1, wait_s=0, caller="+1 202 555 0110")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("+1 202 555 0110")  # who waits comes first
    console.push("call_ended", "c-2", outcome="caller_left", reason="hung_up")
    expect(rows).to_have_count(1)
    eventually(lambda: rows.first.locator("time").inner_text() != first)
    rows.first.locator("td").nth(3).click()
    expect(page).to_have_url(f"{console.address}/console#call/c-1")


WHEN_CHANGED = """() => new MutationObserver(() => {
  if (document.querySelector('.calls tbody').textContent.includes('Complaint')) window.changedAt ??= Date.now();
}).observe(document.querySelector('.calls tbody'), { childList: true, subtree: true })"""


def test_one_call_tells_everything(console: FakeConsole, visit: Open):
    caller = {"number": 1, "speaker": "caller", "text": "what is your return policy", "heard": None,
              "interrupted": False, "started_ms": 7000.0, "intent": "policy_question", "confidence": 0.97,
              "emotion": {"words": "neutral", "both": "neutral", "both_angry": 0.1}, "reasons": {}}  # fmt: skip
    agent = {"number": 1, "speaker": "agent", "text": "You can return anything within 30 days, free of charge.",
             "heard": "You can return anything within", "interrupted": True, "started_ms": 8000.0,
             "latency": {"total": 466.0}, "reasons": {"decision": "flow questions", "flow": "questions", "step": 0,
             "ranking": [["policy_question", 0.97], ["return_order", 0.3]],
             "knowledge": {"source": "returns.md#what-is-your-return-policy", "score": 0.94}}}  # fmt: skip
    slots = {"order_number": {"value": "42719", "verified": True}, "email": {"value": "m@x.example", "verified": False}}
    console.whole["c-1"] = whole(
        "c-1", turns=[caller, agent], state=call_state("c-1", slots=slots, reply="Shall I send a label?"),
        notes=[{"who": "bo", "text": "called last week", "at": AT}],
        history=[{"id": "c-0", "opened_at": AT, "intent": "order_status", "outcome": "completed"}],
        runnable=[{"name": "refund_order", "description": "Refunds it.",
                   "arguments": {"order_number": {"type": "string", "required": True}, "amount": {"type": "number"}}}],
    )  # fmt: skip
    console.answers["POST calls/c-1/action"] = {"ok": True, "result": {"reference": "R7"}}
    page = visit("call/c-1")
    turns = page.locator(".transcript .turn")
    expect(turns.nth(1)).to_contain_text("Interrupted")
    expect(turns.nth(1).locator("del")).to_have_text("Not heard: 30 days, free of charge.", use_inner_text=False)
    expect(page.locator(".side")).to_contain_text(["✓ verified", "What is your return policy"])
    expect(page.get_by_text("not verified")).to_be_visible()
    expect(page.get_by_text("466 ms")).to_be_visible()
    expect(page.get_by_text("called last week")).to_be_visible()
    expect(page.get_by_role("link", name="Nov 22, 2026")).to_have_attribute("href", "#call/c-0")
    console.push("caption", "c-1", speaker="caller", text="and how do I", final=False, turn=2)
    expect(turns.nth(2)).to_contain_text("and how do I")
    console.push("turn", "c-1", number=2, speaker="caller", text="and how do I send it", intent="return_order",
                 confidence=0.9, slots={"size": "M"}, emotion={"words": "happy"},
                 reasons={"ranking": [["x", 1]], "instructed": [
                     {"asked": "offer", "by": "rule", "followed": True},
                     {"asked": "model", "by": "model", "followed": True},
                     {"asked": "model", "by": "model", "followed": False, "reason": "first_token"}]},
                 at_ms=12000.0)  # fmt: skip
    expect(turns).to_have_count(3)
    expect(turns.nth(2)).to_contain_text("and how do I send it")
    turns.nth(2).get_by_role("button", name="Why?").click()
    expect(page.get_by_text("Turn 2 · Caller")).to_be_visible()
    by = "Offer: followed by rule; followed by the language model; not followed by the language model: First token"
    expect(page.get_by_text(by)).to_be_visible()
    page.get_by_text("Refund order").click()
    page.get_by_label("Amount").fill("12.5")
    button(page, "Run").click()
    expect(page.get_by_text('Done: {"reference":"R7"}')).to_be_visible()
    given = {"order_number": "42719", "amount": 12.5}
    assert console.posts("calls/c-1/action") == [{"name": "refund_order", "arguments": given}]
    page.get_by_label("Tell the agent").last.fill("offer a free label")
    page.keyboard.press("Enter")
    eventually(lambda: console.posts("calls/c-1/instruct") == [{"text": "offer a free label"}])
    console.push("note", "c-1", who="bo", text="a new note", told="the agent offers: a free label")
    expect(page.get_by_text("a new note")).to_be_visible()
    expect(page.get_by_text("the agent offers: a free label")).to_be_visible()


def test_a_caller_is_accepted_spoken_with_and_wrapped_up(console: FakeConsole, visit: Open):
    console.calls["c-1"] = call_state("c-1", **{"with": "queue"}, waiting_s=3.0)
    console.whole["c-1"] = whole("c-1", state=console.calls["c-1"])
    offer = {"id": "h-1", "call": "c-1", "state": "ringing", "position": 1, "wait_s": 3.0, "reason": "asked_for_person",
             "priority": 1.0, "skill": None, "language": "en", "caller": "+1 503 555 0142", "rings": "ana",
             "summary": [{"text": "Wants a refund.", "turns": [1, 3]}], "human": None}  # fmt: skip
    page = visit("live")
    button(page, "Off duty").click()
    page.get_by_label("Skills").fill("refunds, returns")
    button(page, "Go on duty").click()
    eventually(lambda: console.sent == [{"type": "duty", "on": True, "skills": ["refunds", "returns"],
                                         "languages": ["en"]}])  # fmt: skip
    console.push("handoff", "c-1", **{name: value for name, value in offer.items() if name != "call"})
    expect(page.get_by_role("alertdialog")).to_contain_text("Wants a refund. [1, 3]")

    console.queue = [offer]
    page.keyboard.press("a")
    eventually(lambda: {"type": "accept", "handoff": "h-1"} in console.sent)
    console.push("error", code="too_late", detail="bo has taken it", **{"for": "h-1"})
    expect(page.get_by_text("Somebody was faster. bo has taken it")).to_be_visible()
    page.get_by_role("alertdialog").get_by_role("button", name="Accept").click()
    eventually(lambda: len([one for one in console.sent if one["type"] == "accept"]) == 2)
    console.push("handoff", "c-1", id="h-1", state="briefing", human="ana", caller=offer["caller"])
    expect(page).to_have_url(f"{console.address}/console#call/c-1")
    assert console.modes == [], "the caller is still told that somebody comes"
    console.whole["c-1"]["state"] |= {"with": "human", "human": "ana"}
    console.push("human", "c-1", who="ana", event="took_over", mode="talk")
    eventually(lambda: console.modes == ["talk"])

    eventually(lambda: len(console.heard) > 60, 8)
    assert {len(frame) for frame in console.heard} == {FRAME}
    sound = np.frombuffer(b"".join(console.heard), "<i2").astype(float)
    assert np.abs(sound).max() > 1000, "the microphone's voice comes through"
    meter = page.get_by_role("meter", name="Line")
    eventually(lambda: meter.evaluate("meter => meter.value") > 20)  # the caller's voice sounds
    page.keyboard.press("m")
    eventually(lambda: {"type": "mute", "on": True} in console.controls)
    time.sleep(0.15)
    count = len(console.heard)
    time.sleep(0.3)
    assert len(console.heard) == count, "nothing leaves the browser while it is muted"
    page.keyboard.press("m")
    eventually(lambda: len(console.heard) > count)
    page.keyboard.press("o")
    eventually(lambda: console.controls[-1] == {"type": "hold", "on": True})
    button(page, "Resume").click()
    button(page, "Keypad").click()
    page.keyboard.press("5")
    page.get_by_role("button", name="#", exact=True).click()
    eventually(lambda: console.posts("calls/c-1/press") == [{"keys": "5"}, {"keys": "#"}])
    page.keyboard.press("Escape")

    ended = whole("c-1", live=False, state=None)
    ended["call"] |= {"outcome": "handed_off", "reason": "hung_up", "finished_at": AT, "duration_ms": 61000.0}
    said = {"number": 1, "speaker": "caller", "text": "it broke", "intent": "order_status", "slots": {"order": "4"}}
    console.whole["c-1"] = ended | {"turns": [said | {"started_ms": 1.0, "interrupted": False, "heard": None}]}
    console.end_seat("call_over")
    console.push("call_ended", "c-1", outcome="handed_off", reason="hung_up")
    expect(page.get_by_role("heading", name="Wrap-up")).to_be_visible()
    page.get_by_label("How it ended").select_option("resolved")
    page.get_by_label("What it was really about").select_option("complaint")
    page.get_by_label("Said in").select_option("1")
    page.get_by_label("Order", exact=True).fill("42719")
    page.get_by_label("4", exact=True).check()
    button(page, "Save").click()
    eventually(lambda: console.posts("calls/c-1/wrap-up") == [
        {"disposition": "resolved", "intent": "complaint", "turn": 1, "slots": {"order": "42719"}, "rating": 4}
    ])  # fmt: skip


def test_callers_are_called_back(console: FakeConsole, visit: Open):
    """Taken by a key, tried, agreed for later with a note; the list changes as others change it."""
    row = {"id": "h-1", "call_id": "c-1", "state": "callback", "priority": 1, "reason": "the caller asked for a person",
           "caller": "+1 503 555 0142", "language": "en", "intent": "order_status", "created_at": AT, "due_at": None,
           "by": None, "tries": 0, "tried_at": None, "notes": [], "live": False,
           "briefing": [{"text": "Wants <b>a refund</b>.", "turns": [1, 3]}]}  # fmt: skip
    other = row | {"id": "h-2", "call_id": "c-2", "caller": None, "state": "calling_back", "by": "bo", "live": True}
    console.answers["callbacks"] = {"callbacks": [row, other]}
    console.me["role"] = "agent"
    console.waiting = 4
    page = visit()
    expect(page.get_by_role("link", name="Call-backs")).to_have_text("Call-backs 4")
    page.keyboard.press("3")
    first = page.locator(".offer").first
    expect(first).to_contain_text("Wants <b>a refund</b>. [1, 3]")
    expect(first).to_contain_text("as soon as somebody can")
    expect(page.get_by_role("link", name="Call-backs")).to_have_text("Call-backs 1")
    taken = page.get_by_role("list", name="Taken by others")
    expect(taken).to_contain_text("Calling back: bo")
    expect(taken).to_contain_text("No number is known")
    expect(taken).to_contain_text("Still on the line")
    assert taken.get_by_role("button").count() == 0, "what others have is theirs"

    mine = row | {"state": "calling_back", "by": "ana"}
    console.answers["POST callbacks/h-1"] = mine
    console.on_post = lambda path: console.answers.update({"callbacks": {"callbacks": [other, mine]}})
    page.keyboard.press("t")
    expect(page.get_by_role("list", name="Yours")).to_contain_text("+1 503 555 0142")
    assert console.posts("callbacks/h-1") == [{"do": "take"}]
    expect(page.get_by_role("link", name="Look at the call")).to_have_attribute("href", "#call/c-1")
    later = mine | {"state": "callback", "by": None, "due_at": "2099-11-22T16:30:00+00:00", "tries": 1, "tried_at": AT,
                    "notes": [{"who": "ana", "text": "engaged <i>", "at": AT}]}  # fmt: skip
    console.answers["POST callbacks/h-1"] = {"done": True}
    console.on_post = lambda path: console.answers.update({"callbacks": {"callbacks": [other, later]}})
    button(page, "Not reached: +1 503 555 0142").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Call again at").fill("2099-11-22T16:30")
    dialog.get_by_label("Note").fill("engaged <i>")
    dialog.get_by_role("button", name="Save").click()
    agreed = page.get_by_role("list", name="Agreed for later")
    expect(agreed).to_contain_text("engaged <i>")
    expect(agreed).to_contain_text("Tried1 · last Nov 22, 2026")
    assert page.evaluate("document.activeElement.textContent") == "Take", "the focus stays at the card"
    zone = page.evaluate("new Date('2099-11-22T16:30').toISOString()")
    assert console.posts("callbacks/h-1")[1:] == [{"do": "not_reached", "note": "engaged <i>", "again_at": zone}]
    assert page.locator("main b, main i").count() == 0

    console.refusals["callbacks/h-1"] = (409, {"code": "too_late", "detail": "handoff 'h-1': bo has taken it"})
    console.on_post = lambda path: console.answers.update({"callbacks": {"callbacks": []}})
    page.keyboard.press("t")
    expect(page.get_by_text("bo has taken it")).to_be_visible()
    expect(page.get_by_text("Nobody is to be called back.")).to_be_visible()
    console.answers["callbacks"] = {"callbacks": [row]}
    console.push("callbacks", waiting=1)
    expect(page.get_by_role("list", name="To be called")).to_contain_text("+1 503 555 0142")


def test_without_a_microphone_one_hears_and_types(console: FakeConsole, visit: Open):
    page = talking(console, visit, microphone=False)
    expect(page.locator(".talk-bar")).to_contain_text("what you type is spoken")
    eventually(lambda: page.get_by_role("meter", name="Line").evaluate("meter => meter.value") > 20)
    page.keyboard.press("s")
    page.keyboard.type("Hello, this is Ana.")
    page.keyboard.press("Enter")
    eventually(lambda: console.posts("calls/c-1/say") == [{"text": "Hello, this is Ana."}])
    assert console.heard == []


def test_two_who_take_over(console: FakeConsole, visit: Open):
    console.whole["c-1"] = whole("c-1")
    console.refusals["calls/c-1/take-over"] = (409, {"code": "taken", "detail": "bo has the call"})
    page = visit("call/c-1")
    expect(button(page, "Take over")).to_be_visible()
    console.on_post = lambda path: console.whole["c-1"]["state"].update({"with": "human", "human": "bo"})
    page.keyboard.press("t")
    expect(page.get_by_text("bo has the call")).to_be_visible()
    expect(page.get_by_text("Person: bo")).to_be_visible()
    assert console.modes == []


def test_a_supervisor_listens_whispers_and_barges(console: FakeConsole, visit: Open):
    console.whole["c-1"] = whole("c-1", state=call_state("c-1", **{"with": "human"}, human="bo"))
    page = visit("call/c-1")
    button(page, "Listen").click()
    eventually(lambda: console.modes == ["listen"])
    expect(button(page, "Listen")).to_have_attribute("aria-pressed", "true")
    time.sleep(0.3)
    assert console.heard == [], "who only listens sends nothing"
    button(page, "Whisper").click()
    eventually(lambda: console.heard)
    assert console.controls == [{"type": "mode", "mode": "whisper"}]
    console.push("state", "c-1", **{"with": "agent"}, human=None)
    eventually(lambda: console.controls[-1] == {"type": "mode", "mode": "listen"})
    expect(page.get_by_text("Nobody at the call hears whispers now")).to_be_visible()
    button(page, "Barge in").click()
    eventually(lambda: console.controls[-1] == {"type": "mode", "mode": "barge"})
    page.locator(".toolbar").get_by_role("button", name="Leave").click()
    expect(page.locator(".talk-bar")).to_be_hidden()


def test_a_call_is_handed_back(console: FakeConsole, visit: Open):
    page = talking(console, visit)
    button(page, "Hand back").click()
    page.get_by_label("For the agent").fill("a refund was agreed")
    page.get_by_role("dialog").get_by_role("button", name="Hand back").click()
    eventually(lambda: console.posts("calls/c-1/hand-back") == [{"note": "a refund was agreed"}])
    expect(page.locator(".talk-bar")).to_be_hidden()
    expect(page.get_by_role("heading", name="Wrap-up")).to_be_visible()


def test_who_has_a_call_pauses_its_recording(console: FakeConsole, visit: Open):
    page = talking(console, visit)
    pause = button(page, "Pause recording")
    expect(pause).to_have_attribute("aria-pressed", "false")
    pause.click()
    eventually(lambda: console.posts("calls/c-1/pause") == [{"on": True}])
    console.push("state", "c-1", **{"with": "human"}, human="ana", paused=["person"])
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("Not recorded now")).to_be_visible()
    pause.click()
    eventually(lambda: console.posts("calls/c-1/pause") == [{"on": True}, {"on": False}])


def test_sound_that_comes_unevenly_waits_longer(console: FakeConsole, visit: Open):
    console.jitter = lambda frame: 0.12 if frame % 40 == 0 else 0.0
    page = talking(console, visit)
    waits = page.locator(".meters .under").last
    eventually(lambda: waits.inner_text() not in ("", "60 ms buffered"), 8)
    console.end_seat("", 1011)
    expect(page.get_by_text("the connection broke")).to_be_visible()


WAITING = """async ({ first, stall, level, seconds }) => {
  const { FRAME, JitterBuffer } = await import("/console/static/jitter.js");
  const [buffer, frame, waits] = [new JitterBuffer(), new Float32Array(FRAME).fill(level), []];
  for (let n = 0; n < first; n += 1) buffer.put(frame);
  for (let second = 0; second < seconds; second += 1) {
    for (let n = 0; n < 50; n += 1) {
      const late = second === 0 && n >= 10 && n < 10 + stall;
      if (!late) buffer.put(frame);
      if (second === 0 && n === 10 + stall) for (let k = 0; k < stall; k += 1) buffer.put(frame);
      buffer.take();
    }
    waits.push(buffer.frames.length * 20);
  }
  return waits;
}"""


@pytest.mark.parametrize("level", [0.0, 0.2])
def test_what_waits_too_long_is_left_out(console: FakeConsole, visit: Open, level: float):
    page = visit()
    backlog = page.evaluate(WAITING, {"first": 25, "stall": 0, "level": level, "seconds": 3})
    assert backlog[0] <= 60, "what was said before one listened"
    stalled = page.evaluate(WAITING, {"first": 0, "stall": 7, "level": level, "seconds": 12})
    assert stalled[2 if level == 0.0 else 9] <= 80
    even = page.evaluate(WAITING, {"first": 0, "stall": 0, "level": level, "seconds": 12})
    assert max(even) <= 60


def test_the_feed_comes_back(console: FakeConsole, visit: Open):
    page = visit()
    expect(page.get_by_text("No calls at the moment.")).to_be_visible()
    expect(page.get_by_text("Connected")).to_be_visible()
    console.calls["c-1"] = call_state("c-1")
    console.cut()
    expect(page.locator("table.calls tbody tr")).to_have_count(1)
    expect(page.get_by_text("Connected")).to_be_visible()
    console.calls.clear()
    console.push("reset")
    expect(page.get_by_text("No calls at the moment.")).to_be_visible()
    console.signed_in = False
    console.cut()
    expect(page.get_by_text("You were signed out.")).to_be_visible()


EVIL = [
    "<img src=x onerror=alert(1)>", "<script>alert(2)</script>", "\"><svg onload=alert(3)>", "javascript:alert(4)",
    "{{constructor.constructor('alert(5)')()}}", "' onmouseover='alert(6)", "\u202egnp.exe", "</textarea><b>7</b>",
]  # fmt: skip


def test_markup_from_callers_stays_text(console: FakeConsole, visit: Open):
    """Stored script in whatever a caller, a document or a colleague can write."""
    evil = "".join(EVIL)
    turn = {"number": 1, "speaker": "caller", "text": evil, "heard": evil, "interrupted": False, "started_ms": 1.0,
            "intent": evil, "confidence": 0.5, "emotion": {"words": evil, "both_angry": 0.4},
            "slots": {evil: evil}, "reasons": {"knowledge": {"source": f"{evil}#{evil}", "text": evil, "score": 1},
            "decision": evil, "rule": evil, "flow": evil, "tones": [evil], "ranking": [[evil, 0.5]],
            "nearest": [[evil, evil, 0.4]], evil: evil}}  # fmt: skip
    agent = turn | {"speaker": "agent", "number": 2, "text": f"{evil} {evil}", "interrupted": True}
    evil_state = {"caller": evil, "called": evil, "gateway": evil, "intent": evil, "phase": evil, "human": evil,
                  "language": "en", "summary": evil, "reply": evil,
                  "slots": {evil: {"value": evil, "verified": True}},
                  "emotion": [{"turn": 1, "words": evil}]}  # fmt: skip
    state = call_state("c-1", **evil_state)
    console.calls["c-1"] = state
    console.queue = [{"id": evil, "call": evil, "state": "ringing", "position": 1, "wait_s": 1, "reason": evil,
                      "priority": evil, "skill": evil, "language": "en", "caller": evil,
                      "summary": [{"text": evil, "turns": [evil]}]}]  # fmt: skip
    console.people = [{"who": evil, "on": True, "skills": [evil], "languages": [], "busy": [], "capacity": evil}]
    console.me["name"] = evil
    row = whole("c-1")["call"] | {"outcome": evil, "reason": evil, "finished_at": AT, "recording": "x"}
    pictures = [
        {"id": url, "url": url, "fields": [{"name": evil, "value": evil, "confidence": 1}], "description": evil}
        for url in (
            evil,
            "javascript:alert(8)",
            "//evil.example/x.png",
            "/\\\\evil.example/x.png",
            "https://evil.example",
        )
    ]
    console.whole["c-1"] = whole(
        "c-1", live=False, call=row, state=state, turns=[turn, agent], pictures=pictures,
        notes=[{"who": evil, "text": evil, "at": evil}], intents=[evil], dispositions=[evil],
        actions=[{"name": evil, "arguments": {evil: evil}, "ok": True, "result": {evil: evil}}],
        history=[{"id": evil, "opened_at": AT, "intent": evil, "outcome": evil, "summary": evil}],
        handoffs=[{"id": "h", "state": evil, "reason": evil, "human": evil}],
    )  # fmt: skip
    console.answers["quality/calls"] = {"calls": [{"call_id": evil, "opened_at": AT, "intent": evil, "failed": [evil]}]}
    page = visit("live")
    expect(page.locator("table.calls tbody tr")).to_have_count(1)
    console.push("alert", None, text=evil)
    console.push("error", None, code=evil, detail=evil)
    expect(page.locator(".alert")).to_contain_text(evil[:20])
    for place in ("queue", "call/c-1", "quality"):
        page.evaluate("place => { location.hash = place }", place)
        expect(page.locator(".view")).to_contain_text(evil[:20] if place != "quality" else "Quality")
    page.evaluate("location.hash = 'call/c-1'")
    console.push("caption", "c-1", speaker="agent", text=evil, final=False, turn=9)
    expect(page.locator(".transcript")).to_contain_text(evil[:20])
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert page.evaluate("document.querySelectorAll('#app b, #app svg[onload], #app img[onerror]').length") == 0
    assert page.evaluate(OWN_LINKS) == []


OWN_LINKS = """() => [...document.querySelectorAll('[href], [src]')].filter((one) => {
  const url = new URL(one.getAttribute('href') ?? one.getAttribute('src'), location.href);
  return url.origin !== location.origin || !url.protocol.startsWith('http');
}).map((one) => one.outerHTML)"""


def test_markup_in_the_address_stays_text(console: FakeConsole, visit: Open):
    """Reflected script, and names that every object has."""
    evil = "<img src=x onerror=alert(1)>"
    page = visit(f"call/{evil}")
    expect(page.get_by_text("There is no such call.")).to_be_visible()
    for place in (evil, "constructor", "__proto__", "toString", "quality/" + evil, "compare/%E0%A4%A", "call/", "%"):
        page.evaluate("place => { location.hash = place }", place)
        expect(page.locator("main h1").first).to_be_visible()
    page.evaluate("history.replaceState(null, '', '/console?x=<script>alert(1)</script>')")
    assert page.evaluate("document.querySelectorAll('script').length") == 1


def test_the_keyboard_is_enough(console: FakeConsole, visit: Open):
    console.calls["c-1"] = call_state("c-1")
    page = visit()
    expect(page.locator("table.calls tbody tr")).to_have_count(1)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    expect(page.get_by_role("link", name="Queue")).to_have_attribute("aria-current", "page")
    page.keyboard.press("?")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none" or page.evaluate("document.activeElement === document.body")


def test_everything_has_a_name(console: FakeConsole, visit: Open):
    """What can be operated tells a screen reader what it is; ids are unique; each view has one heading of level 1."""
    _supervised(console)
    page = visit()
    for place in ("live", "queue", "callbacks", "call/c-9", "quality", "quality/c-9", "trends", "measures"):
        page.evaluate("place => { location.hash = place }", place)
        page.wait_for_timeout(150)
        assert page.evaluate(NAMELESS) == [], place
        assert page.locator("h1").count() == 1, place


NAMELESS = """() => {
  const nameless = [...document.querySelectorAll('button, a, input, select, textarea, [role=slider], [role=region], svg[role=img], meter, canvas')]
    .filter((one) => one.offsetParent !== null && !one.getAttribute('aria-label') && !one.textContent.trim() && !one.labels?.length);
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  return [...nameless.map((one) => one.outerHTML.slice(0, 200)), ...ids.filter((id, n) => ids.indexOf(id) !== n)];
}"""  # noqa: E501


def test_chinese_and_dark(console: FakeConsole, visit: Open):
    page = visit("live", scheme="dark", locale="zh-CN")
    console.me["language"] = "zh"
    page.reload()
    expect(page.get_by_role("heading", name="实时通话")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_label("配色").select_option("light")
    assert page.evaluate(ground) != dark
    page.get_by_label("语言").select_option("en")
    expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
    assert page.evaluate(ground) != dark, "both choices are kept"


def test_a_narrow_screen_scrolls_one_way(console: FakeConsole, visit: Open):
    _supervised(console)
    page = visit("call/c-9", viewport={"width": 390, "height": 800})
    for place in ("call/c-9", "queue", "callbacks", "live", "quality/c-9", "measures"):
        page.evaluate("place => { location.hash = place }", place)
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, place


def test_an_agent_sees_what_agents_may(console: FakeConsole, visit: Open):
    console.me["role"] = "agent"
    console.whole["c-1"] = whole("c-1")
    page = visit("accounts")
    expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
    assert page.locator("nav a").all_inner_texts() == ["Live calls", "Queue", "Call-backs"]
    page.evaluate("location.hash = 'call/c-1'")
    expect(page.locator(".call-head")).to_contain_text("+1 503 555 0142")
    assert page.locator(".toolbar button").count() == 0
    expect(page.get_by_label("Say to the caller")).to_be_disabled()


def _supervised(console: FakeConsole) -> None:
    turns = [
        {"number": 0, "speaker": "agent", "text": "Hello.", "heard": "Hello.", "interrupted": False,
         "started_ms": 100.0},
        {"number": 1, "speaker": "caller", "text": "It broke.", "heard": None, "interrupted": False,
         "started_ms": 3000.0, "intent": "complaint", "emotion": {"words": "angry", "both_angry": 0.8}},
    ]  # fmt: skip
    row = whole("c-9")["call"] | {"outcome": "completed", "finished_at": AT, "recording": "x", "duration_ms": 6000.0}
    console.whole["c-9"] = whole("c-9", live=False, state=None, call=row, turns=turns)
    console.answers |= {
        "recordings/c-9.wav": recording(),
        "recordings/c-9/peaks": {"duration_s": 6.0, "channels": [[0.5] * 60, [0.2] * 60], "muted": [[2.0, 3.0]]},
        "quality/calls": {"calls": [{"call_id": one, "opened_at": AT, "score": 58.0, "intent": "complaint",
                                     "emotion": "angry", "duration_s": 6.0, "failed": ["empathy"]}
                                    for one in ("c-9", "c-8")]},
        "quality/calls/c-9": {"call_id": "c-9", "score": 58.0, "ratings": [], "items": [
            {"name": "empathy", "title": "Empathy after anger", "score": 0, "weight": 15, "passed": False,
             "why": "no apology", "evidence": [1]}]},
        "quality/calls/c-8": {"call_id": "c-8", "score": 90.0, "ratings": [], "items": [
            {"name": "empathy", "title": "Empathy after anger", "passed": True, "why": "it apologised"}]},
        "quality/trends": {"days": [{"day": "2026-11-21", "calls": 4, "score": 70.0, "anger": 0.2},
                                    {"day": "2026-11-22", "calls": 9, "score": 81.0, "anger": None}],
                           "items": [{"name": "greeting", "title": "Greeting", "passed": 0.9}]},
        "measures": {"intents": [{"intent": "complaint", "calls": 9, "contained": 0.4, "cost": None, "repeat_7d": None,
                                  "repeat_so_far": 0.25}],
                     "reasons": [{"reason": "asked_for_person", "calls": 5}],
                     "days": [{"day": "2026-11-22", "calls": 9, "contained": 0.4}]},
        "callbacks": {"callbacks": [{"id": "h-1", "call_id": "c-9", "state": "callback", "priority": 0,
                                     "reason": "asked", "caller": "+1 503 555 0142", "language": "en", "intent": None,
                                     "created_at": AT, "due_at": None, "by": "ana", "tries": 0, "tried_at": None,
                                     "notes": [], "briefing": [], "live": False}]},
        "accounts": {"accounts": [{"name": "bo", "role": "agent", "disabled": False, "signed_in_at": None}]},
        "audit": {"rows": [{"at": AT, "who": "bo", "what": "signed_in", "about": "bo", "data": {}}], "broken": 3,
                  "why": "the hash differs"},
    }  # fmt: skip


def test_supervisors_find_rate_and_compare_calls(console: FakeConsole, visit: Open):
    _supervised(console)
    page = visit("quality")
    expect(page.locator("tbody tr")).to_have_count(2)
    with page.expect_request(lambda asked: "below=60" in asked.url and "text=refund" in asked.url):
        page.get_by_label("Score below").fill("60")
        page.get_by_label("Words").fill("refund")
        page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(2)
    for box in page.get_by_role("checkbox", name="Compare").all():
        box.check()
    button(page, "Compare").click()
    expect(page.locator("tbody tr")).to_contain_text("it apologised")
    page.evaluate("location.hash = 'quality/c-9'")
    button(page, "Turn 1").click()
    expect(page.locator(".pointed")).to_contain_text("It broke.")
    page.get_by_label("Score, 0 to 100").fill("61")
    button(page, "Save").click()
    eventually(lambda: console.posts("quality/calls/c-9/rating") == [{"score": 61, "note": ""}])
    page.evaluate("location.hash = 'trends'")
    expect(page.get_by_role("img", name="Mean score. 11-21: 70, 11-22: 81")).to_be_visible()
    page.evaluate("location.hash = 'measures'")
    expect(page.locator("tbody")).to_contain_text("40%")
    expect(page.locator("tbody")).to_contain_text("25% so far")
    expect(page.get_by_role("link", name="As CSV")).to_have_attribute("href", "/console/api/measures.csv?days=30")


def test_the_recording_goes_with_the_transcript(console: FakeConsole, visit: Open):
    _supervised(console)
    page = visit("call/c-9")
    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuemax", "6")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "0:05")
    expect(page.locator(".turn.playing")).to_contain_text("It broke.")
    page.keyboard.press("Home")
    expect(page.locator(".turn.playing")).to_have_count(0)
    page.locator(".turn").first.get_by_role("button", name="Play from here").click()
    expect(page.locator(".turn.playing")).to_contain_text("Hello.")
    expect(button(page, "Pause")).to_be_visible()
    colours = page.evaluate("""() => { const wave = document.querySelector('canvas'), context = wave.getContext('2d');
      return [0.42, 0.7].map((at) => context.getImageData(wave.width * at, 1, 1, 1).data[3]); }""")
    assert colours[0] > 0
    assert colours[1] == 0, "only the muted span is shaded"


def test_administrators_keep_accounts_and_the_audit(console: FakeConsole, visit: Open):
    _supervised(console)
    console.me["role"] = "admin"
    page = visit("accounts")
    page.get_by_label("Name").fill("cleo")
    page.get_by_label("Role").select_option("supervisor")
    page.get_by_label("Password").fill("a long password")
    button(page, "Add account").click()
    button(page, "Disable").click()
    eventually(lambda: [body["action"] for body in console.posts("accounts")] == ["add", "disable"])
    assert console.posts("accounts")[0] == {
        "action": "add", "name": "cleo", "role": "supervisor", "password": "a long password"
    }  # fmt: skip
    page.evaluate("location.hash = 'audit'")
    expect(page.locator(".bad-text")).to_contain_text("broken at entry 3")
    assert json.dumps(console.posted).count("password") == 2


def test_the_audit_trail_is_sought_and_read_on(console: FakeConsole, visit: Open):
    console.me["role"] = "admin"
    rows = [{"sequence": 300 - n, "at": AT, "who": "bo", "what": "call_taken", "about": "c-1",
             "data": {"handoff": f"<b>{n}</b>", "skills": []}} for n in range(100)]  # fmt: skip
    console.answers["audit"] = {"rows": rows, "broken": None, "why": None, "verified": False}
    page = visit("audit")
    expect(page.locator("tbody tr")).to_have_count(100)
    expect(page.locator("tbody tr").first).to_contain_text("Got the call")
    expect(page.locator("tbody tr").first).to_contain_text("Handoff: <b>0</b> · Skills: –")
    expect(page.get_by_text("was not checked")).to_be_visible()
    console.answers["audit"] = {"rows": rows[:1], "broken": None, "why": None, "verified": True}
    with page.expect_request(lambda asked: "verify=true" in asked.url):
        button(page, "Check now").click()
    expect(page.get_by_text("The trail is whole")).to_be_visible()
    with page.expect_request(lambda asked: "before=201" in asked.url):
        button(page, "Older entries").click()
    expect(page.locator("tbody tr")).to_have_count(101)
    expect(button(page, "Older entries")).to_be_hidden()
    with page.expect_request(lambda asked: "who=bo&what=call_taken" in asked.url):
        page.get_by_label("Who").fill("bo")
        page.get_by_label("What").select_option("call_taken")
        button(page, "Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_what_happens_while_the_page_asks_is_not_lost(console: FakeConsole, visit: Open):
    """A caller begins to ring here while an answer without him is on its way; whom others took is shown no more."""
    console.me["role"] = "agent"
    page = visit("queue")
    button(page, "Off duty").click()
    page.get_by_role("dialog").get_by_role("button", name="Go on duty").click()
    console.queue_takes_s = 0.6
    console.push("reset")
    page.wait_for_timeout(150)
    console.calls["c-1"] = call_state("c-1", **{"with": "queue"})
    console.push("handoff", "c-1", id="h-1", state="ringing", rings="ana", position=1, caller="+1 202 555 0110")
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.wait_for_timeout(700)
    expect(page.get_by_role("alertdialog")).to_contain_text("+1 202 555 0110")
    console.queue_takes_s = 0.0
    page.evaluate("location.hash = 'live'")
    console.push("state", "c-1", **{"with": "queue"})
    expect(page.locator("table.calls tbody tr")).to_have_count(1)
    console.calls.clear()
    console.push("handoff", "c-1", id="h-1", state="bridged", human="bo")
    expect(page.locator("table.calls tbody tr")).to_have_count(0)
    expect(page.get_by_role("alertdialog")).to_be_hidden()
