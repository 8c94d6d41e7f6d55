"""Pauses while card data is collected, keys masked, logs without digits, and the gate of consent."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from agent.records.consent import ConsentRule, answered, begin, told
from agent.records.muting import Span
from agent.records.pausing import PausedFilter, Pausing, mask_keys, paused_call, without_digits


class Tape:
    def __init__(self, late: bool = False) -> None:
        self.log: list[object] = []
        self.late = late

    def pause(self) -> None:
        self.log.append("pause")

    def resume(self) -> None:
        self.log.append("resume")

    def mute(self, from_ms: float, to_ms: float) -> bool:
        self.log.append((from_ms, to_ms))
        return not self.late


def test_a_pause_lasts_until_its_last_reason_is_gone() -> None:
    tape, notes = Tape(), list[tuple[str, object]]()
    pausing = Pausing(tape, lambda kind, data: notes.append((kind, data["why"])))
    assert pausing.shown("4111") == "4111"
    pausing.release("card")
    pausing.hold("card")
    pausing.hold("card")
    pausing.hold("person")
    assert (pausing.why, pausing.silent, pausing.wordless) == (("card", "person"), True, True)
    assert pausing.shown("my code is 12 3") == "[withheld]"
    assert pausing.shown("") == ""
    pausing.release("card")
    assert tape.log == ["pause"]
    pausing.release("person")
    assert tape.log == ["pause", "resume"]
    assert notes == [("recording_paused", "card"), ("recording_resumed", "person")]


def test_a_block_that_fails_resumes() -> None:
    tape = Tape()
    pausing = Pausing(tape, lambda kind, data: None)
    with pytest.raises(RuntimeError), pausing.while_("secret"):
        raise RuntimeError
    assert tape.log == ["pause", "resume"]


@pytest.mark.parametrize(("covers", "words"), [(False, "hello"), (True, "[withheld]")])
def test_missing_consent_silences_and_may_cover_words(covers: bool, words: str) -> None:
    pausing = Pausing(None, lambda kind, data: None, consent_covers_text=covers)
    pausing.hold("consent")
    assert pausing.silent
    assert pausing.shown("hello") == words


def test_secrets_said_unasked_leave_the_recording_and_others_stay_for_playback() -> None:
    tape, notes = Tape(), list[object]()
    pausing = Pausing(tape, lambda kind, data: notes.append((kind, dict(data))))
    pausing.private([Span(100, 200, "card"), Span(300, 400, "email")])
    assert tape.log == [(100, 200)]
    assert notes == [("muted", {"from_ms": 100, "to_ms": 200, "kind": "card"})]
    assert pausing.late == []
    late = Pausing(Tape(late=True), lambda kind, data: None)
    late.private([Span(100, 200, "card")])
    assert late.late == [Span(100, 200, "card")]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(PausedFilter())
    handler.setFormatter(logging.Formatter("%(message)s %(code)s", defaults={"code": ""}))
    logger = logging.getLogger("test_pausing")
    logger.addHandler(handler)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logger.propagate = True


def test_logs_of_a_paused_call_have_no_digits(stream: io.StringIO) -> None:
    logger = logging.getLogger("test_pausing")
    pausing = Pausing(None, lambda kind, data: None)
    token = paused_call.set(pausing)
    try:
        logger.warning("heard %s", "4 1 2 nine", extra={"code": 123})
        pausing.hold("card")
        logger.warning("heard %s", "4 1 2 nine", extra={"code": 123})
        try:
            raise ValueError("pin 9876")
        except ValueError:
            logger.exception("failed with %d", 42)
        logger.warning("heard %d", "no number 77")
        pausing.release("card")
        logger.warning("heard 412")
    finally:
        paused_call.reset(token)
    text = stream.getvalue()
    assert text.startswith("heard 4 1 2 nine 123\nheard # # # # #\nfailed with # ")
    assert "ValueError: pin #" in text
    assert "9876" not in text
    assert "77" not in text
    assert text.endswith("heard 412 \n")


def test_spoken_digits_go_in_both_languages() -> None:
    assert without_digits("code one-two 3, 一二三 done, thirty-four, someone") == "code #-# #, # done, #-#, someone"


@pytest.mark.parametrize(
    ("keys", "sensitive", "shown"),
    [
        ("2", False, "[keys 2]"),
        ("54321#", False, "[keys 54321#]"),
        ("4111111111111111", False, "[16 keys]"),
        ("1234", True, "[4 keys]"),
        ("1", True, "[1 key]"),
    ],
)
def test_keys_are_masked(keys: str, sensitive: bool, shown: str) -> None:
    assert mask_keys(keys, sensitive) == shown


def test_without_a_rule_recording_may_begin_at_once() -> None:
    step = begin(ConsentRule(), "en")
    assert step.consent.may_record
    assert step.consent.may_keep_words
    assert step.say == ""
    assert answered(step.consent, None, "en").consent.may_record
    refused = answered(step.consent, False, "en")
    assert not refused.consent.may_record
    assert "not recorded" in refused.say


def test_a_notice_opens_the_gate_once_it_was_heard_whole() -> None:
    step = begin(ConsentRule("notice", covers_text=True), "en-GB")
    assert "recorded" in step.say
    assert not step.consent.may_record
    assert not step.consent.may_keep_words
    again = told(step.consent, False, "en-GB")
    assert again.say == step.say
    assert told(again.consent, True, "en").consent.may_record
    given_up = told(again.consent, False, "en")
    assert given_up.consent.state == "refused"
    assert told(given_up.consent, True, "en").consent.state == "refused"
    assert not given_up.consent.may_keep_words


def test_a_question_needs_a_yes_and_no_counts_at_any_time() -> None:
    rule = ConsentRule("ask", tries=2, question={"zh": "可以吗？"})
    step = begin(rule, "zh")
    assert step.say == "可以吗？"
    step = told(step.consent, True, "zh")
    assert not step.consent.may_record
    step = answered(step.consent, None, "en")
    assert step.say == "May we record this call? Please say yes or no."
    assert answered(step.consent, None, "fr").say == "All right, this call is not recorded."
    step = answered(step.consent, True, "zh")
    assert step.consent.may_record
    assert answered(step.consent, True, "zh").say == ""
    assert answered(step.consent, None, "zh").consent.may_record
    step = answered(step.consent, False, "zh")
    assert not step.consent.may_record
    assert step.consent.may_keep_words
    assert answered(step.consent, False, "zh").say == ""
    assert answered(step.consent, True, "zh").consent.may_record


@pytest.mark.parametrize("bad", [{"mode": "maybe"}, {"mode": "ask", "tries": 0}])
def test_bad_rules_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="consent"):
        ConsentRule(**bad)  # type: ignore[arg-type]
