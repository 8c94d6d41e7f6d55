"""Conversations as files, what of them is not met, and playing them turn by turn on a clock that is moved."""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from agent.dialogue.loader import load_domain
from agent.lab.authoring.scaffold import new_domain
from agent.lab.conversations import Conversation, Script, Turn, conversation_files, read_conversation, unknown_names
from agent.lab.expectations import Checked
from agent.lab.stepped_clock import SteppedClock
from agent.lab.text_calls import TextDesk
from agent.lab.unmet import TurnResult, contains, same, unmet
from agent.lab.voiced import task, voiced
from agent.yamlfile import FileError
from models.contracts import OUT_OF_SCOPE, Slot, Understood

WRONG = {
    "- say: hi\n    press: '1'": ":3: 'turns.0' is .*exactly one of .*has say and press",
    "- expect: {says: hi}": ":3: .*has none",
    "- say: hi\n    expect: {}": ":4: .*expect at least one of",
    "- say: hi\n    expect: {sais: hi}": ":4: unknown key",
    "- say: hi\n    expect: {says: ' '}": ":4: .*every answer has that",
    "- say: hi\n    expect: {says: '/(/'}": ":4: .*not a regular expression",
    "- press: 0123": ":3: .*put the keys in quotes",
    "- press: '12a'": ":3: .*press.*pattern",
    "- press: '1'\n    angry: true": ":3: .*'angry' belongs to 'say'",
    "- say: hi\n    after_s: 5": ":3: .*'after_s' belongs to 'drop'",
    "- interrupted_at: hi\n    expect: {says: hi}": ":3: .*nothing is answered",
    "- silence: 0": ":3: .*greater than or equal to 1",
}


@pytest.mark.parametrize("turn", WRONG)
def test_a_wrong_turn_is_told_with_its_line(tmp_path, turn):
    path = tmp_path / "talk.yaml"
    path.write_text(f"description: x\nturns:\n  {turn}\n")
    with pytest.raises(FileError, match=rf"talk.yaml{WRONG[turn]}"):
        read_conversation(path)


def test_texts_and_lists_and_days_are_read(tmp_path):
    path = tmp_path / "talk.yaml"
    path.write_text(
        "description: x\ntoday: 2026-02-28\nturns:\n  - agent: Hello\n"
        "  - {say: hi, expect: {says: [a, /b+/], action: none, source: f.md#g, consent: {fees: true}}}\n"
        "  - {interrupted_at: Thanks for, press: '4821#'}\n  - {drop: true, after_s: 90}\n"
    )
    _, talk = read_conversation(path)
    assert talk.name == "talk"
    assert talk.began == datetime(2026, 2, 28, 15, tzinfo=UTC)
    kinds = [turn.kind for turn in talk.script.turns]
    assert kinds == ["agent", "say", "press", "drop"]
    wanted = talk.script.turns[1].expect
    assert (wanted.says, wanted.action, wanted.source) == (("a", "/b+/"), ("none",), ("f.md#g",))


def test_a_name_that_the_domain_lacks_is_told_with_what_was_meant(domain):
    path = domain / "conversations" / "odd.yaml"
    path.write_text(
        "description: x\nturns:\n"
        "  - say: hi\n    expect: {intent: book_visits, action: find_days, hand_off: complaints, source: other.md#x}\n"
        "  - say: hi\n    expect: {intent: out_of_scope, slots: {dai: x}, flow: none, hand_off: 'flow:visit'}\n"
        "  - say: hi\n    expect: {flow: nowhere}\n"
    )
    file, talk = read_conversation(path)
    problems = list(unknown_names(file, talk.script, load_domain(domain)))
    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "the domain has no intent 'book_visits'; did you mean 'book_visit'?",
        "the domain has no action 'find_days'; did you mean 'find_day'?",
        "the domain has no section 'other.md#x'; correct the name",
        "the domain has no rule 'complaints'; did you mean 'complaint'?",
        "the domain has no slot 'dai'; did you mean 'day'?",
        "the domain has no flow 'nowhere'; correct the name",
    ]
    assert f"{path}:4: " in problems[0]


def test_names_of_conversations_are_chosen_by_a_glob(domain):
    assert [path.stem for path in conversation_files(domain)] == ["books_a_visit", "complains"]
    assert [path.stem for path in conversation_files(domain, "book*")] == ["books_a_visit"]
    assert [path.stem for path in conversation_files(domain, "no*, comp*")] == ["complains"]


RESULT = {
    "answer": "Your balance is $1,204.50. It’s due on May 4.",
    "intent": "balance",
    "slots": {"day": "2026-05-04", "pin": "4821", "yes": True, "sum": {"minor": 500, "currency": "USD"}},
    "actions": ("get_balance",),
    "flow": "balance",
    "sources": ("fees.md#monthly",),
    "tones": ("neutral", "sorry"),
    "consents": {"fees": True},
}
MET = [
    {"says": ["$1,204.50", "YOUR balance", "it's due", "/may \\d/"], "lacks": ["sorry", "/\\d{5}/"]},
    {"intent": "balance", "flow": "balance", "source": ["other.md#x", "fees.md#monthly"], "tone": "sorry"},
    {"slots": {"day": date(2026, 5, 4), "pin": 4821, "yes": True, "sum": {"minor": 500}}},
    {"action": "get_balance", "hang_up": False, "consent": {"fees": True}},
]
UNMET = {
    "the answer lacks “$1,205”": {"says": "$1,205"},
    "the answer has “balance”": {"lacks": "balance"},
    "intent is balance, not pay": {"intent": "pay"},
    "slot pin is '4821', not '4822'": {"slots": {"pin": "4822"}},
    "slot name is None, not 'Ann'": {"slots": {"name": "Ann"}},
    "slot yes is True, not 1": {"slots": {"yes": 1}},
    "action pay did not run; get_balance did": {"action": "pay"},
    "action get_balance ran": {"action": "none"},
    "flow balance is open, not none": {"flow": "none"},
    "the answer is from fees.md#monthly, not a.md#b or c.md#d": {"source": ["a.md#b", "c.md#d"]},
    "a person was called by no rule, not by legal": {"hand_off": "legal"},
    "the agent did not hang up": {"hang_up": True},
    "the tone is neutral, sorry, not warm": {"tone": "warm"},
    "consent fees is True, not False": {"consent": {"fees": False}},
}


@pytest.mark.parametrize("wanted", MET)
def test_what_is_met(wanted):
    assert unmet(TurnResult(Turn(say="x", expect=wanted), **RESULT)) == ()


@pytest.mark.parametrize("problem", UNMET)
def test_what_is_not_met_is_told_in_words(problem):
    assert unmet(TurnResult(Turn(say="x", expect=UNMET[problem]), **RESULT)) == (problem,)


def test_silence_failed_actions_breaks_and_people_called_fail_whatever_is_expected():
    turn = Turn(say="x")
    assert unmet(TurnResult(turn)) == ("the agent said nothing",)
    assert unmet(TurnResult(turn, "a", failed={"pay": "timeout"})) == ("action pay failed: timeout",)
    assert unmet(TurnResult(turn, "a", hand_off="legal")) == ("a person was called, by rule 'legal'",)
    assert unmet(TurnResult(turn, "a", broke="ValueError: x")) == ("the dialogue broke: ValueError: x",)
    assert unmet(TurnResult(Turn(agent="Good morning"), "Hello.")) == ("the greeting lacks “Good morning”",)
    assert unmet(TurnResult(Turn(interrupted_at="Thanks"))) == ()


def test_words_are_compared_without_case_quotes_and_line_breaks():
    assert contains("It’s\n 5 pm", "it's 5 PM")
    assert contains("a/b", "/")
    assert same("Ann ", "ann")
    assert not same(None, "None")


async def test_sleepers_wake_when_the_clock_passes_them():
    clock = SteppedClock(datetime(2026, 5, 4, 15, tzinfo=UTC))
    woken = []

    async def sleep(at):
        await clock.sleep_until(at)
        woken.append(at)

    tasks = [asyncio.create_task(sleep(at)) for at in (300.0, 100.0, 200.0)]
    await asyncio.sleep(0.01)
    clock.move(150)
    await asyncio.sleep(0.01)
    assert woken == [100.0]
    tasks[2].cancel()
    await asyncio.gather(tasks[2], return_exceptions=True)
    assert clock.skip()
    await asyncio.gather(*tasks[:2])
    assert (woken, clock.now_ms(), clock.wall().second) == ([100.0, 300.0], 300.0, 0)
    assert not clock.skip()
    event = asyncio.Event()
    waiting = asyncio.create_task(clock.wait(event, 400.0))
    await asyncio.sleep(0.01)
    assert clock.skip()
    await waiting
    assert not event.is_set()


class Scripted:
    """Understands each text as it is told to."""

    def __init__(self, meanings):
        self.meanings = meanings

    def understand(self, text, context=None):
        intent, slots = self.meanings.get(text, (OUT_OF_SCOPE, {}))
        found = tuple(Slot(name, value, str(value), (0, 0)) for name, value in slots.items())
        return Understood(intent, 0.95, ((intent, 0.95),), found)


class Words:
    """Vectors of hashed words."""

    width = 64

    def encode(self, texts):
        import numpy as np

        rows = np.zeros((len(texts), self.width), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[sum(map(ord, word)) % self.width] += 1.0
            row /= max(1e-6, float(np.linalg.norm(row)))
        return rows


@pytest.fixture
def domain(tmp_path, monkeypatch) -> Path:
    """A new domain; its module has a name of its own, since Python keeps modules that were imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return new_domain(f"lakeside_{tmp_path.name.replace('-', '_')}", tmp_path, "Lakeside Piano: tuning & repair")


@pytest.fixture
def play(domain, tmp_path):
    async def run(meanings, *turns, **more):
        loaded = load_domain(domain)
        (tmp_path / "databases").mkdir(exist_ok=True)
        scripted = Scripted(meanings)
        desk = TextDesk(loaded, Words(), lambda today: {"en": scripted}, tmp_path / "databases")
        script = Script(description="x", turns=turns, caller="+12065550142", **more)
        return [await desk.play(Conversation(f"talk{n}", tmp_path / "talk.yaml", script)) for n in range(2)]

    return run


BOOK = {
    "book tomorrow": ("book_visit", {"day": "2026-05-05", "phone": "+12065550142"}),
    "yes": ("affirm", {"yes_no": True}),
    "bye": ("goodbye", {}),
    "person": ("human", {}),
}


async def test_conversations_do_not_see_what_others_changed(play):
    turns = (
        {"agent": "Lakeside Piano: tuning & repair"},
        {"say": "book tomorrow", "expect": {"action": "find_day", "slots": {"day": "2026-05-05"}, "flow": "visit"}},
        {"say": "yes", "expect": {"action": "book_visit", "says": "tomorrow at 9 am", "flow": "none"}},
        {"say": "bye", "expect": {"hang_up": True}},
    )
    for result in await play(BOOK, *turns):
        assert result.passed, result.failure
        assert [turn.intent for turn in result.turns] == [None, "book_visit", "affirm", "goodbye"]
        assert result.document()["turns"][2]["actions"] == ("book_visit",)


async def test_the_first_thing_that_went_otherwise_is_the_failure(play):
    turns = (
        {"say": "book tomorrow", "expect": {"says": "Shall I book"}},
        {"press": "1", "expect": {"action": "book_visit", "says": "noon", "hang_up": True}},
        {"say": "bye"},
        {"say": "hello?"},
    )
    result, _ = await play(BOOK, *turns)
    assert not result.passed
    assert result.failure.turn.press == "1"
    assert result.failure.unmet == ("the answer lacks “noon”", "the agent did not hang up")
    assert "the call is over" in result.turns[-1].broke


async def test_keys_silence_drops_and_another_day(play):
    turns = (
        {"silence": 1, "expect": {"says": "/\\?$/"}},
        {"say": "book tomorrow", "expect": {"says": "Shall I book on May 5 at", "flow": "visit"}},
        {"drop": True, "after_s": 4000, "expect": {"says": "How can I help", "lacks": "Shall I"}},
        {"press": "0", "expect": {"hand_off": "asked_for_person"}},
    )
    result, _ = await play(BOOK, *turns, today="2026-04-20")
    assert result.passed, result.failure


def test_a_conversation_becomes_a_scenario_for_the_simulated_caller(domain, monkeypatch):
    talk = read_conversation(domain / "conversations" / "books_a_visit.yaml")[1]
    loaded = load_domain(domain)
    found = voiced(talk, loaded)
    said = [found.line(step.say).text for step in found.script.steps if step.say and not step.only_if]
    assert said[:2] == ["Hi, I'd like to book a visit", "Next Sunday"]
    assert found.script.steps[-1].hang_up
    again = [step.again_if for step in found.script.steps if step.wait_for is not None]
    assert "Sorry, I didn't catch that." in again[1]
    assert again[-1] == ()
    sure = {found.line(step.say).text: step.only_if for step in found.script.steps if step.only_if}
    assert sure["Yes, please."] == ("Just to be sure, do you want to book a visit?",)
    assert sure["I'd like to book a visit."][1] == ", or to book a visit?"
    dropped = Script(description="x", turns=({"say": "hi"}, {"drop": True}))
    assert voiced(Conversation("x", talk.path, dropped), loaded) == "the line drops"
    chinese = Script(description="x", turns=({"say": "我想取消订单"},))
    monkeypatch.setattr("agent.lab.voiced.find_spec", lambda name: None)
    assert "nothing here speaks Chinese" in voiced(Conversation("x", talk.path, chinese), loaded)
    cut = Script(description="x", turns=({"say": "hi"}, {"say": "stop 42", "interrupted_at": "Thanks for calling"}))
    steps = voiced(Conversation("x", talk.path, cut), loaded).script.steps
    assert [step.action for step in steps] == ["wait_for", "say", "say", "wait_for", "hang_up"]
    assert steps[2].interrupt_after == pytest.approx(1170)


def test_a_caller_answers_where_the_agent_asks_back(domain):
    loaded = load_domain(domain)
    turns = (
        {"say": "Book a visit tomorrow", "expect": {"intent": "book_visit", "says": "number"}},
        {"say": "Two oh six, five five five, oh one four two", "expect": {"slots": {"phone": "+12065550142"}}},
        {"say": "Yes", "expect": {"action": "book_visit"}},
    )
    found = voiced(Conversation("x", domain / "x.yaml", Script(description="x", turns=turns)), loaded).script
    texts = {line.id: line.text for line in found.lines}
    replies = [(texts[step.say], step.only_if) for step in found.steps if step.only_if]
    asked = dict(replies)
    assert "Was that May 5?" in replies[2][1]
    assert asked["No. Book a visit tomorrow"] == ("I heard", "Was that", "Did you mean")
    assert asked["Tomorrow."] == ("Which day would suit you?",)
    assert [text for text, _ in replies].count("Tomorrow.") == 3
    phone = [step for step in found.steps if step.only_if and any("2 0 6" in text for text in step.only_if)]
    assert [texts[step.say] for step in phone] == ["Yes."]
    expected = Script(description="x", turns=(turns[0] | {"expect": {"intent": "book_visit", "says": "day would"}},))
    found = voiced(Conversation("x", domain / "x.yaml", expected), loaded).script
    assert "Tomorrow." not in [line.text for line in found.lines]


def test_a_task_is_done_when_its_actions_values_and_end_are_as_expected(domain):
    talk = read_conversation(domain / "conversations" / "books_a_visit.yaml")[1]
    loaded = load_domain(domain)
    ran = [{"name": "find_day", "ok": True, "arguments": {"day": "2026-05-05"}}, {"name": "book_visit", "ok": True}]
    record = {"actions": ran, "turns": [{"slots": {"phone": {"value": "+12065550142"}}}], "handoffs": []}
    assert all(check.held for check in task(talk, loaded, record, "agent:hangup"))

    def broken(ended="agent:hangup", **more) -> list[Checked]:
        return [check.name for check in task(talk, loaded, record | more, ended) if not check.held]

    assert broken("hung_up") == ["the agent ends the call"]
    assert broken(handoffs=[{"rule": "legal"}]) == ["handed off by no rule"]
    assert broken(actions=[*ran, {"name": "find_day", "ok": False}]) == ["no action failed"]
    assert broken(actions=ran[:1]) == ["action book_visit"]
    assert broken(turns=[]) == ["slot phone +12065550142"]
    assert broken(turns=[{"slots": {"phone": {"value": "[phone]"}}}]) == []
    assert broken(turns=[{"slots": {"phone": {"value": "[card]"}}}]) == ["slot phone +12065550142"]
