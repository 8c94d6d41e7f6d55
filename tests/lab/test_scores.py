"""Scores of single calls, each definition by a call made by hand."""

import pytest

from agent.lab.ear import Span
from agent.lab.expectations import Checked
from agent.lab.outcome import CallOutcome, Seen, Utterance
from agent.lab.scores import score


def said(start, end, kind="turn", text="Where is it?", **more):
    return Utterance(f"{kind}@{start}", kind, text, start, end, **more)


def reply(started, ended, number=1, interrupted=False, heard="Well, it is.", **latency):
    return {
        "speaker": "agent",
        "number": number,
        "started_ms": started,
        "ended_ms": ended,
        "interrupted": interrupted,
        "text": "Well, it is. Anything else?",
        "heard": heard,
        "latency": latency,
    }


def understood(started, ended, text):
    return {"speaker": "caller", "started_ms": started, "ended_ms": ended, "interrupted": False, "text": text}


def events(*pairs):
    return [{"kind": kind, "at_ms": at, "data": {"phase": phase}} for at, kind, phase in ((*p, "")[:3] for p in pairs)]


def record(*turns, happened=(), **counters):
    return {"call": {"counters": counters}, "turns": list(turns), "events": events((0, "state"), *happened)}


def call(utterances, agent, record=None, duration=60_000, **more):
    spans = tuple(Span(*span) for span in agent)
    return CallOutcome("one", 0, 1, 0.0, "hung_up", duration, tuple(utterances), spans, record=record, **more)


def turn(*args, place=0, **more):
    return score(call(*args, **more)).turns[place]


class TestLatency:
    def test_from_the_last_sound_of_the_turn_to_the_first_of_the_agent(self):
        found = turn([said(1000, 2000)], [(0, 500), (2600, 5000)])
        assert (found.first_ms, found.settled_ms, found.answered) == (600, 600, "yes")

    def test_a_reply_broken_off_in_vain_is_first_but_not_settled(self):
        turns = [
            reply(2600, 3500, interrupted=True),
            reply(5000, 9000, 2, endpoint_wait=300.0, total=340.0),
        ]
        cough = said(3100, 3300, "noise", "")
        found = turn(
            [said(1000, 2000), cough],
            [(2620, 3400), (5020, 9000)],
            record(*turns, happened=[(3380, "pause"), (3500, "interrupt")]),
        )
        assert (found.first_ms, found.settled_ms) == (620, 3020)
        assert found.parts == {"endpoint_wait": 300.0, "total": 340.0}

    def test_a_reply_the_caller_interrupts_was_allowed_to_finish(self):
        stop = said(4000, 5000, "interruption", "Stop.")
        happened = [(4300, "pause"), (4600, "interrupt")]
        found = turn(
            [said(1000, 2000), stop],
            [(2600, 4350), (5500, 7000)],
            record(reply(2580, 4600, interrupted=True), reply(5480, 7000, 2), happened=happened),
        )
        assert (found.first_ms, found.settled_ms) == (600, 600)

    def test_a_paused_reply_that_goes_on_is_settled_where_it_began(self):
        happened = [(3300, "pause"), (4800, "resume")]
        found = turn(
            [said(1000, 2000), said(3000, 3300, "noise", "")],
            [(2600, 3350), (4830, 8000)],
            record(reply(2580, 8000), happened=happened),
        )
        assert (found.first_ms, found.settled_ms) == (600, 600)

    def test_an_agent_that_still_speaks_from_before_the_turn_has_not_answered(self):
        found = turn([said(1000, 2000)], [(0, 2300), (3200, 4000)])
        assert (found.first_ms, found.cut_off, found.answered) == (1200, False, "yes")

    def test_an_answer_that_began_inside_the_turn_and_went_on_has_no_latency(self):
        found = turn([said(1000, 2000)], [(1500, 4000)])
        assert (found.first_ms, found.settled_ms, found.cut_off, found.answered) == (None, None, True, "yes")

    def test_an_answer_belongs_to_the_turn_before_it(self):
        turns = score(call([said(1000, 2000), said(3000, 4000)], [(4700, 6000)])).turns
        assert [found.first_ms for found in turns] == [None, 700]
        assert [found.answered for found in turns] == ["not_waited", "yes"]

    def test_a_back_channel_between_does_not_take_the_answer_away(self):
        assert turn([said(1000, 2000), said(2100, 2300, "back_channel", "Uh-huh.")], [(2600, 5000)]).first_ms == 600


class TestAnswered:
    def test_a_caller_who_waits_in_vain(self):
        found = turn([said(1000, 2000)], [(0, 500)], duration=6000)
        assert (found.answered, found.dead_air_ms) == ("no", 4000)

    def test_a_caller_who_hangs_up_soon_did_not_wait(self):
        assert turn([said(1000, 2000)], [(0, 500)], duration=4000).answered == "not_waited"

    def test_who_hangs_up_in_the_middle_of_a_word_wants_no_answer(self):
        assert turn([said(1000, 2000, whole=False)], [], duration=9000).answered == "not_waited"

    def test_what_is_said_to_a_person_is_not_the_agents_to_answer(self):
        kept = record(happened=[(500, "state", "transferring"), (800, "state", "human")])
        assert turn([said(1000, 2000)], [], kept).answered == "not_ours"

    def test_seen_states_tell_it_without_a_record(self):
        assert turn([said(1000, 2000)], [], seen=(Seen(800, "state", "human"),)).answered == "not_ours"

    def test_an_answer_broken_off_and_never_begun_again_is_none(self):
        kept = record(reply(1500, 1900, interrupted=True), happened=[(1800, "pause"), (1900, "interrupt")])
        found = turn([said(1000, 2000)], [(1500, 1820)], kept)
        assert (found.answered, found.cut_off, found.restarted) == ("no", True, "heard")


class TestDeadAir:
    def test_more_than_three_seconds_until_the_answer(self):
        assert turn([said(1000, 2000)], [(5500, 6000)]).dead_air_ms == 3500

    def test_three_seconds_are_not_too_long(self):
        assert turn([said(1000, 2000)], [(5000, 6000)]).dead_air_ms == 0

    def test_silence_after_the_answer_is_the_callers(self):
        assert turn([said(1000, 2000)], [(2500, 3000)]).dead_air_ms == 0

    def test_silence_after_an_answer_that_cut_the_caller_off_is_the_callers(self):
        assert turn([said(1000, 2000)], [(1500, 3000)]).dead_air_ms == 0


class TestCutOffsAndRestarts:
    def test_the_agent_in_a_pause_of_the_turn(self):
        found = turn([said(1000, 4000, pauses=((1800, 2600),))], [(2300, 2900), (4600, 6000)])
        assert (found.cut_off, found.restarted, found.first_ms) == (True, "heard", 600)

    def test_with_a_record_an_own_second_breath_is_no_restart(self):
        kept = record(reply(2280, 2900), reply(4580, 6000, 2))
        found = turn([said(1000, 4000, pauses=((1800, 2600),))], [(2300, 2900), (4600, 6000)], kept)
        assert (found.cut_off, found.restarted) == (True, None)

    def test_both_who_begin_at_once_cut_nobody_off(self):
        assert not turn([said(1000, 2000)], [(1100, 1900), (2600, 3000)]).cut_off

    def test_the_next_sentence_of_a_reply_from_before_is_no_cut_off(self):
        assert not turn([said(1000, 3000)], [(0, 900), (1400, 1700)]).cut_off

    def test_a_reply_from_before_that_goes_on_after_a_long_silence_is(self):
        assert turn([said(1000, 3000)], [(0, 900), (1700, 2000)]).cut_off

    def test_a_new_reply_right_after_the_old_is_a_cut_off(self):
        kept = record(reply(0, 900, 0), reply(1390, 2500, 1))
        assert turn([said(1000, 3000)], [(0, 900), (1400, 2500)], kept).cut_off

    def test_only_turns_can_be_cut_off(self):
        noise = said(1000, 3000, "noise", "")
        assert not turn([noise], [(1500, 2500)]).cut_off

    def test_a_reply_from_inside_that_stops_soon_after_the_end_is_a_restart(self):
        happened = [(4300, "pause"), (4400, "interrupt")]
        kept = record(reply(3780, 4400, interrupted=True), reply(5080, 6000, 2), happened=happened)
        found = score(call([said(1000, 4000)], [(3800, 4320), (5100, 6000)], kept))
        assert (found.turns[0].restarted, found.unprovoked) == ("heard", 0)

        alone = turn([said(1000, 4000)], [(3800, 4320)], record(reply(3780, 4400, interrupted=True), happened=happened))
        assert (alone.answered, alone.first_ms) == ("no", None)

    def test_sound_inside_the_turn_alone_is_no_answer(self):
        assert turn([said(1000, 4000)], [(2300, 2900)]).answered == "no"

    def test_an_unheard_answer_taken_back(self):
        kept = record(reply(4580, 6000), happened=[(2600, "retract")], retract=1)
        found = score(call([said(1000, 4000)], [(4600, 6000)], kept))
        assert (found.turns[0].restarted, found.retracts) == ("unheard", 0)

    def test_taken_back_twice_and_heard_once_is_one_restart(self):
        happened = [(1500, "retract"), (1900, "retract"), (2800, "pause"), (2900, "interrupt")]
        kept = record(reply(2280, 2900, interrupted=True), reply(4580, 6000, 2), happened=happened, retract=2)
        found = score(call([said(1000, 4000)], [(2300, 2820), (4600, 6000)], kept))
        assert ([t.restarted for t in found.turns], found.retracts, found.unprovoked) == (["heard"], 0, 0)

    def test_counters_without_events_are_kept_apart(self):
        assert score(call([said(1000, 4000)], [(4600, 6000)], record(retract=2))).retracts == 2

    def test_a_turn_begun_while_the_agent_speaks_makes_no_restart(self):
        kept = record(reply(200, 1500, 0, interrupted=True), happened=[(1300, "pause"), (1500, "interrupt")])
        found = score(call([said(1000, 3000)], [(220, 1320), (3600, 4000)], kept))
        assert (found.turns[0].restarted, found.turns[0].cut_off, found.unprovoked) == (None, False, 0)


class TestInterruptions:
    def test_from_the_first_sound_to_the_agents_last(self):
        found = turn([said(3000, 5000, "interruption")], [(1000, 3340), (5600, 7000)])
        assert (found.stop_ms, found.missed, found.first_ms, found.cut_off) == (340, False, 600, False)

    def test_an_agent_that_talks_on_between_sentences(self):
        found = turn([said(3000, 3500, "interruption")], [(1000, 3340), (3640, 6000), (7000, 8000)])
        assert (found.stop_ms, found.missed, found.first_ms) == (3000, True, None)

    def test_a_quick_answer_to_a_short_interruption_is_not_the_old_reply(self):
        found = turn([said(3000, 3500, "interruption")], [(1000, 3340), (3900, 6000)])
        assert (found.stop_ms, found.missed) == (340, False)

    def test_an_agent_that_was_silent_could_not_be_interrupted(self):
        found = turn([said(3000, 3500, "interruption")], [(1000, 2000), (4000, 6000)])
        assert (found.over_agent, found.stop_ms, found.missed, found.first_ms) == (False, None, False, 500)

    def test_taken_for_a_false_alarm(self):
        kept = record(reply(980, 8000), happened=[(3300, "pause"), (4800, "resume")])
        found = turn([said(3000, 3500, "interruption")], [(1000, 3320), (4830, 8000)], kept)
        assert found.missed

    def test_keys_break_off_by_right(self):
        kept = record(reply(980, 3000, interrupted=True), happened=[(2990, "key"), (3000, "interrupt")])
        found = score(call([], [(1000, 3020)], kept))
        assert (found.unprovoked, found.hiccups) == (0, 0)


class TestFalseAlarms:
    COUGH = (said(3000, 3400, "noise", ""),)

    def test_the_agent_talks_on(self):
        found = turn(self.COUGH, [(1000, 9000)], record(reply(980, 9000)))
        assert (found.over_agent, found.broke_off, found.hiccup, found.answered) == (True, False, False, None)

    def test_the_agent_pauses_and_goes_on(self):
        kept = record(reply(980, 9000), happened=[(3300, "pause"), (4800, "resume")])
        found = turn(self.COUGH, [(1000, 3320), (4830, 9000)], kept)
        assert (found.broke_off, found.hiccup) == (False, True)

    def test_a_second_cough_while_the_agent_pauses_is_over_the_agent_too(self):
        kept = record(reply(980, 9000), happened=[(3300, "pause"), (4800, "resume")])
        found = score(call([*self.COUGH, said(4200, 4400, "noise", "")], [(1000, 3320), (4830, 9000)], kept))
        assert [(t.over_agent, t.hiccup) for t in found.turns] == [(True, True), (True, False)]

    def test_the_agent_pauses_twice_and_breaks_off(self):
        happened = [(3100, "pause"), (3200, "resume"), (3300, "pause"), (3800, "interrupt")]
        kept = record(reply(980, 3800, interrupted=True), happened=happened)
        found = score(call(self.COUGH, [(1000, 3320)], kept))
        assert [(t.broke_off, t.hiccup) for t in found.turns] == [(True, False)]
        assert (found.unprovoked, found.hiccups) == (0, 0)

    def test_nothing_was_left_to_say(self):
        kept = record(reply(980, 3800), happened=[(3300, "pause"), (3800, "interrupt")])
        assert not turn(self.COUGH, [(1000, 3320)], kept).broke_off

    def test_without_a_record_an_agent_that_stays_silent_broke_off(self):
        assert turn(self.COUGH, [(1000, 3500)]).broke_off

    def test_without_a_record_an_agent_that_speaks_again_went_on(self):
        found = turn(self.COUGH, [(1000, 3500), (5000, 7000)])
        assert (found.broke_off, found.hiccup) == (False, True)

    def test_without_a_record_the_end_of_a_reply_is_not_blamed_on_a_sound_long_before(self):
        assert not turn(self.COUGH, [(1000, 5000)]).broke_off

    def test_with_nobody_speaking(self):
        happened = [(5000, "pause"), (5600, "interrupt")]
        kept = record(reply(980, 5600, interrupted=True), happened=happened)
        found = score(call([said(200, 600)], [(1000, 5000)], kept, tags=("echo",)))
        assert (found.unprovoked, found.echoes, found.replies) == (1, True, 1)

    def test_a_stop_soon_after_a_turn_that_was_over_before_the_reply_is_nobodys(self):
        happened = [(2500, "pause"), (2600, "interrupt")]
        kept = record(reply(2300, 2600, interrupted=True), reply(4000, 6000, 2), happened=happened)
        found = score(call([said(1000, 2000)], [(2320, 2520), (4020, 6000)], kept))
        assert (found.unprovoked, found.turns[0].restarted, found.turns[0].settled_ms) == (1, None, 2020)

    def test_a_hiccup_with_nobody_speaking_counts_once_a_reply(self):
        happened = [(5000, "pause"), (5600, "resume"), (6000, "pause"), (6600, "resume")]
        assert score(call([], [(1000, 9000)], record(reply(980, 9000), happened=happened))).hiccups == 1

    def test_a_reply_that_paused_and_then_broke_off_broke_off(self):
        happened = [(5000, "pause"), (5600, "resume"), (6000, "pause"), (6600, "interrupt")]
        found = score(call([], [(1000, 6000)], record(reply(980, 6600, interrupted=True), happened=happened)))
        assert (found.unprovoked, found.hiccups) == (1, 0)

    def test_a_cough_that_the_record_places_a_little_later_is_still_to_blame(self):
        kept = record(reply(980, 3800, interrupted=True), happened=[(2900, "pause"), (3300, "interrupt")])
        found = score(call(self.COUGH, [(1000, 3010)], kept))
        assert (found.turns[0].broke_off, found.unprovoked) == (True, 0)

    def test_the_end_of_the_call_breaks_nothing_off(self):
        turns = {"call": {"counters": {}}, "turns": [reply(980, 5000, interrupted=True)]}
        assert score(call([], [(1000, 5000)], turns, duration=5100)).unprovoked == 0

    def test_without_events_the_turns_tell(self):
        turns = {"call": {"counters": {}}, "turns": [reply(980, 5000, interrupted=True)]}
        assert score(call([], [(1000, 5000)], turns)).unprovoked == 1


class TestWords:
    def test_what_was_said_against_what_was_understood(self):
        kept = record(understood(1100, 2700, "Where is she?"))
        found = score(call([said(1000, 2000)], [], kept))
        assert (found.words.errors, found.words.words, found.turns[0].heard) == (1, 3, "Where is she?")

    def test_a_noise_taken_for_words_is_an_error(self):
        kept = record(understood(1100, 2700, "Where is it?"), understood(5000, 5900, "thank you"))
        found = score(call([said(1000, 2000), said(5000, 5300, "noise", "")], [], kept))
        assert found.words.insertions == 2

    @pytest.mark.parametrize("heard", [(), (understood(5000, 5900, "uh-huh"),)])
    def test_a_back_channel_may_be_recorded_or_not(self, heard):
        kept = record(understood(1100, 2700, "Where is it?"), *heard)
        found = score(call([said(1000, 2000), said(5000, 5300, "back_channel", "Uh-huh.")], [], kept))
        assert (found.words.errors, found.words.words) == (0, 3)

    def test_what_was_redacted_or_never_finished_is_not_compared(self):
        kept = record(understood(1100, 2700, "It is [email]."), understood(5000, 5900, "I wan"))
        utterances = [said(1000, 2000, text="It is a@b.example"), said(5000, 5300, text="I want that", whole=False)]
        assert score(call(utterances, [], kept)).words.words == 0

    def test_pressed_keys_are_not_words(self):
        kept = record(understood(1100, 2700, "Where is it?"), understood(5000, 5900, "[keys 42719]"))
        assert score(call([said(1000, 2000)], [], kept)).words.errors == 0

    def test_no_record_no_figure(self):
        assert score(call([said(1000, 2000)], [])).words is None


def test_why_a_call_failed():
    checks = (Checked("greets", True, "hello"), Checked("finds the order", False, "no such turn"))
    found = score(call([], [], checked=checks, missed=("say: too late",), error="closed early"))
    assert found.reasons == ("closed early", "say: too late", "finds the order: no such turn")
