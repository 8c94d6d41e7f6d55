"""Scenarios are played step by step, and what was uttered when is kept to the sample."""

import itertools

import pytest
from lab.agents import TwilioAgent, said

from agent.lab.line import CallerLine
from agent.lab.outcome import Utterance
from agent.lab.player import Player
from agent.lab.scenario import Scenario, Script
from agent.lab.twilio_caller import TwilioCaller
from agent.lab.watching import Watch

ASK = said(500)


def scenario(*steps: dict) -> Scenario:
    lines = [{"id": "ask", "text": "Where is it?"}, {"id": "cut", "text": "Stop!"}]
    return Scenario("test", Script(description="", lines=lines, steps=steps))


@pytest.fixture
def play(serving, clock):
    async def run(agent, *steps: dict, sound=ASK, watch=None, life_s=60, heard=None):
        read = scenario(*steps)
        sounds = {n: sound for n, step in enumerate(read.script.steps) if step.action not in ("wait_for", "expect")}
        async with CallerLine(await serving(agent), TwilioCaller(), clock, life_s=life_s) as line:
            player = Player(read, sounds, line, watch or Watch())
            if heard is not None:
                player.played.utterances = heard
            return await player.play(), line

    return run


DONE = {"wait_for": "agent_done"}


async def test_the_caller_waits_for_the_greeting_and_for_the_answer(play):
    played, line = await play(TwilioAgent(), DONE, {"say": "ask"}, DONE, {"hang_up": True})
    assert played.missed == []
    assert played.ended == "hung_up"
    greeting, answer = line.ear.spans
    (asked,) = played.utterances
    assert asked == played.said["ask"]
    assert (asked.step, asked.kind, asked.text, asked.whole) == ("say ask", "turn", "Where is it?", True)
    assert asked.start_ms >= greeting.end_ms + 700
    assert asked.end_ms - asked.start_ms == 500
    assert 200 <= answer.start_ms - asked.end_ms < 600


async def test_times_are_those_of_the_voice_not_of_the_silence_around_it(play):
    quiet = said(600, (0, 100), (550, 600))
    sound = type(quiet)(quiet.samples, 100 * 8, 550 * 8, ((200 * 8, 300 * 8),))
    played, line = await play(TwilioAgent(), DONE, {"say": "ask"}, {"hang_up": True}, sound=sound)
    (asked,) = played.utterances
    assert asked.end_ms - asked.start_ms == 450
    assert asked.pauses == ((asked.start_ms + 100, asked.start_ms + 200),)
    assert line.now_ms >= asked.end_ms


async def test_an_interruption_begins_while_the_agent_speaks(play):
    played, line = await play(
        TwilioAgent(answer_ms=6000), DONE, {"say": "ask"}, {"say": "cut", "interrupt_after": 1000}, {"hang_up": True}
    )
    answer, cut = line.ear.spans[1], played.said["cut"]
    assert cut.kind == "interruption"
    assert answer.start_ms + 1000 <= cut.start_ms < answer.start_ms + 1200
    assert cut.start_ms < answer.end_ms < cut.end_ms


async def test_a_back_channel_and_a_noise_are_no_turns(play):
    played, line = await play(
        TwilioAgent(answer_ms=5000, deaf=True),
        DONE,
        {"say": "ask"},
        {"backchannel": "uh-huh", "after_ms": 600},
        {"noise": "cough", "after_ms": 600},
        {"expect": {"resumed": True}},
        DONE,
        {"hang_up": True},
    )
    _, uhuh, cough = played.utterances
    assert (uhuh.kind, uhuh.text, cough.kind, cough.text) == ("back_channel", "uh-huh", "noise", "")
    answer = line.ear.spans[1]
    assert uhuh.start_ms == pytest.approx(answer.start_ms + 600, abs=200)
    assert played.missed == []
    assert [(about.about, about.start_ms) for about in played.asked] == [("noise cough", cough.start_ms)]


async def test_hanging_up_in_the_middle_of_a_word(play):
    agent = TwilioAgent()
    played, line = await play(agent, DONE, {"say": "ask", "hang_up_after": 300}, DONE)
    (asked,) = played.utterances
    assert not asked.whole
    assert 300 <= asked.end_ms - asked.start_ms <= 360
    assert played.ended == line.ended == "hung_up"
    assert agent.received[-1]["event"] == "stop"
    assert agent.count("media") == line.now_ms / 20
    assert played.missed == []


async def test_keys_are_pressed_one_after_another(play):
    agent = TwilioAgent()
    _, line = await play(agent, DONE, {"press": "42#"}, {"hold_silence": 0.2}, {"hang_up": True})
    places = [n for n, message in enumerate(agent.received) if message["event"] == "dtmf"]
    assert [agent.received[n]["dtmf"]["digit"] for n in places] == ["4", "2", "#"]
    frames = [sum(m["event"] == "media" for m in agent.received[a:b]) for a, b in itertools.pairwise(places)]
    assert frames == [13, 13]
    assert line.now_ms >= 200


async def test_dictation_keeps_its_pauses(play):
    sound = said(900, (200, 400), (600, 800))
    played, _ = await play(TwilioAgent(), {"dictate": "4 2 7", "pause_ms": 200}, {"hang_up": True}, sound=sound)
    (numbers,) = played.utterances
    assert (numbers.kind, numbers.text) == ("turn", "4 2 7")
    assert [last - first for first, last in numbers.pauses] == [200, 200]


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"say": "cut", "interrupt_after": 1000, "timeout_s": 2}, "say cut: the agent did not speak for 1000 ms"),
        ({"noise": "cough", "after_ms": 900, "timeout_s": 2}, "noise cough: the agent did not speak for 900 ms"),
        ({"wait_for": {"text": "order"}, "timeout_s": 1}, "the agent said “Hello.”"),
        ({"wait_for": {"intent": "order"}, "timeout_s": 1}, "understood was greeting"),
        ({"wait_for": {"state": "human"}, "timeout_s": 1}, "the state is listening"),
    ],
    ids=str,
)
async def test_a_step_that_does_not_come_about_is_noted_and_the_scenario_goes_on(play, step, why):
    watch = Watch()
    watch.heard("Hello.", 5.0)
    watch.told({"type": "turn", "number": 1, "intent": "greeting"}, 6.0)
    watch.told({"type": "state", "state": "listening"}, 7.0)
    played, _ = await play(TwilioAgent(answer_ms=300), DONE, step, {"say": "ask"}, {"hang_up": True}, watch=watch)
    assert len(played.missed) == 1
    assert why in played.missed[0]
    assert list(played.said) == ["ask"]


@pytest.mark.parametrize(
    "wait", [{"text": "ORDER number"}, {"intent": "order_status"}, {"state": "Listening"}, {"silence_ms": 300}], ids=str
)
async def test_the_caller_waits_for_what_is_seen(play, wait):
    watch = Watch()
    watch.heard("What is the order number?", 1.0)
    watch.told({"type": "turn", "number": 1, "intent": "order_status"}, 2.0)
    watch.told({"type": "state", "state": "listening"}, 3.0)
    played, _ = await play(TwilioAgent(), {"wait_for": wait, "timeout_s": 5}, {"hang_up": True}, watch=watch)
    assert played.missed == []


async def test_what_was_said_before_the_callers_words_is_no_answer_to_them(play):
    watch = Watch()
    watch.heard("What is the order number?", 0.0)
    wait = {"wait_for": {"text": "order"}, "timeout_s": 1}
    played, _ = await play(TwilioAgent(), DONE, {"say": "ask"}, wait, {"hang_up": True}, watch=watch)
    assert len(played.missed) == 1


async def test_a_pause_of_an_agent_that_still_speaks_is_not_its_end(play):
    watch = Watch()
    watch.told({"type": "state", "state": "speaking"}, 0.0)
    done = {**DONE, "settled": True, "timeout_s": 2}
    played, _ = await play(TwilioAgent(), done, {"hang_up": True}, watch=watch)
    assert "the agent had not spoken and finished" in played.missed[0]
    watch.told({"type": "state", "state": "listening"}, 0.0)
    played, _ = await play(TwilioAgent(), done, {"hang_up": True}, watch=watch)
    assert played.missed == []


@pytest.mark.parametrize(("unless", "times"), [((), 3), (("order number",), 1), (("order number", "thanks"), 3)])
async def test_an_answer_that_has_what_is_wanted_is_not_asked_for_again(play, unless, times):
    watch = Watch()
    for at_ms in range(0, 30_000, 100):
        watch.heard("Sorry, I missed that. What is the order number?", at_ms)
    again = {**DONE, "again_if": ["I missed that"], "unless": unless}
    played, _ = await play(TwilioAgent(), DONE, {"say": "ask"}, again, {"hang_up": True}, watch=watch)
    assert len(played.utterances) == times


@pytest.mark.parametrize(("taken", "times"), [((), 3), (("Got it",), 1), (("Okay",), 3)])
async def test_a_question_put_again_after_a_correction_does_not_make_the_caller_repeat_it(play, taken, times):
    watch = Watch()
    for at_ms in range(0, 30_000, 100):
        watch.heard("Got it. In the morning?", at_ms)
    again = {**DONE, "again_if": ["I missed that"], "taken": taken}
    played, _ = await play(TwilioAgent(), DONE, {"say": "ask"}, again, {"hang_up": True}, watch=watch)
    assert len(played.utterances) == times


@pytest.mark.parametrize(("unless", "said"), [(("found",), ["ask", "cut", "ask", "cut"]), ((), ["ask", "cut"])])
async def test_a_question_that_was_answered_before_is_answered_again(play, unless, said):
    class Asking(Watch):
        """Asks for the name before and after the first words, and for the day after the second."""

        def since(self, what, since_ms):
            told = ["Your name?", "And the day?", "No match. Your name?", "And the day?", "There it is, found."]
            return told[len(watch.uttered) : len(watch.uttered) + 1] if what == "agent_said" else []

    watch = Asking()
    again = {**DONE, "again_if": ["Sorry"], "unless": unless}
    watch.uttered = []
    steps = (DONE, {"say": "ask"}, DONE, {"say": "cut"}, again, {"hang_up": True})
    played, _ = await play(TwilioAgent(), *steps, watch=watch, heard=watch.uttered)
    assert [one.step.removeprefix("say ") for one in played.utterances] == said


async def test_a_silent_agent_is_noted(play):
    played, _ = await play(TwilioAgent(greets=False), {**DONE, "timeout_s": 2}, {"say": "ask"}, {"hang_up": True})
    assert played.missed == ["wait_for agent_done: the agent had not spoken and finished within 2 s"]
    assert "ask" in played.said


async def test_a_call_the_agent_ends_plays_no_further_steps_but_keeps_what_is_expected(play):
    async def agent(socket) -> None:
        await socket.recv()
        await socket.close(1000)

    played, _ = await play(agent, DONE, {"say": "ask"}, {"expect": {"text": "hello"}})
    assert played.utterances == []
    assert played.missed == []
    assert played.ended == "closed:1000"
    assert len(played.asked) == 1


async def test_a_call_that_ends_within_the_words_cuts_them(play):
    played, line = await play(TwilioAgent(greets=False), {"say": "ask"}, life_s=0.3)
    assert line.ended == "life_over"
    assert played.utterances == [Utterance("say ask", "turn", "Where is it?", 0.0, 300.0, (), False)]
