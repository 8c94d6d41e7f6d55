"""While a secret is asked for nothing is recorded, and logs lose every digit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from browserfakes import Browser, FakeFeed, control_of, now_ms, quiet_line
from callfakes import FakeCall, Phone
from test_returning import Returned
from test_taking_over import watched
from virtual_time import run_virtual

from agent.call.control import NotYours
from agent.records.muting import LEAD_MS, PAD_MS
from agent.records.pausing import paused_call
from models.contracts import Recognition, RecognitionHints, Samples, Word


class Tape:
    """A recording that notes when it runs."""

    def __init__(self) -> None:
        self.runs = True
        self.log: list[str] = []
        self.muted: list[tuple[float, float]] = []

    def pause(self) -> None:
        self.runs = False
        self.log.append("pause")

    def resume(self) -> None:
        self.runs = True
        self.log.append("resume")

    def mute(self, from_ms: float, to_ms: float) -> bool:
        self.muted.append((from_ms, to_ms))
        return True

    def caller(self, samples: object, at_ms: float) -> None:
        self.log.append("caller" if self.runs else "caller while paused")

    def agent(self, samples: object, at_ms: float) -> None:
        self.log.append("agent" if self.runs else "agent while paused")


def taped(call: FakeCall) -> Tape:
    """A call that is recorded."""
    tape = Tape()
    opened = call.records.open_call

    async def open_call(given):  # type: ignore[no-untyped-def]
        record = await opened(given)
        record.recording = tape
        return record

    call.records.open_call = open_call  # type: ignore[method-assign]
    return tape


async def paused_by_ana() -> tuple[FakeCall, Phone, Tape, FakeFeed]:
    """A call that Ana has, and whose recording she has paused."""
    call = FakeCall()
    tape, feed = taped(call), watched(call)
    phone = await call.start()
    await phone.wait_for_agent()
    control = control_of(call)
    with pytest.raises(NotYours):
        control.pause("ana", True)
    await control.take_over("ana")
    control.pause("ana", True)
    control.pause("ana", True)
    assert not tape.runs
    assert control.state()["paused"] == feed.of("state")[-1]["paused"] == ["person"]
    return call, phone, tape, feed


def words_of(call: FakeCall) -> list[tuple[str, str]]:
    return [(who, turn.text) for (_, who), turn in call.record.turns.items() if who != "agent"]


def test_recording_pauses_for_a_secret_and_goes_on_after_it() -> None:
    async def main() -> None:
        call = FakeCall()
        tape = taped(call)
        phone = await call.start()
        await phone.wait_for_agent()
        assert tape.runs
        call.dialogue.sensitive = True  # type: ignore[misc]
        await phone.say("my number is")
        await phone.wait(200)
        assert not tape.runs
        call.dialogue.sensitive = False  # type: ignore[misc]
        await phone.wait_for_agent()
        assert tape.runs
        kinds = [kind for kind, _ in call.record.events]
        assert kinds.index("recording_paused") < kinds.index("recording_resumed")
        assert paused_call.get() is None  # the pauses are the call's own
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_person_pauses_the_recording_and_the_words() -> None:
    async def main() -> None:
        call, phone, tape, feed = await paused_by_ana()
        control = control_of(call)
        async with Browser(control.join("ana", "talk"), call) as ana:
            talking = asyncio.create_task(ana.wait(2500))
            await phone.say("the security code is nine", 1500)
            await phone.wait(1000)
            await talking
            await asyncio.gather(ana.say("so it is nine", 900), phone.wait(900))
            control.say("ana", "Nine it is.")
            # What was begun in the pause is of the pause, though it is known after it.
            await asyncio.gather(ana.wait(2000), phone.wait(2000))
            talking = asyncio.create_task(ana.wait(1500))
            saying = asyncio.create_task(phone.say("and seven at the end", 1500))
            await asyncio.sleep(0.9)
            control.pause("ana", False)
            await asyncio.gather(talking, saying)
            await asyncio.gather(ana.wait(1500), phone.wait(1500))
            assert tape.runs
            assert control.state()["paused"] == []
            talking = asyncio.create_task(ana.wait(2500))
            await phone.say("thank you", 900)
            await phone.wait(1600)
            await talking
        kept = words_of(call)
        assert [who for who, _ in kept].count("human") == 2
        assert [text for who, text in kept if who == "human"] == ["[withheld]", "[withheld]"]
        assert [text for who, text in kept if who == "caller"] == ["[withheld]", "[withheld]", "thank you"]
        told = [text for _, text in call.dialogue.overheard_log]
        assert sorted(set(told)) == ["[withheld]", "thank you"]
        shown = str(feed.messages) + str(call.record.events)
        assert not [word for word in ("nine", "Nine", "seven") if word in shown]
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_pause_of_a_person_is_over_when_the_agent_has_the_call_again() -> None:
    async def main() -> None:
        call, phone, tape, _ = await paused_by_ana()
        back = asyncio.create_task(control_of(call).hand_back("ana"))
        await phone.wait_for_agent()
        await back
        assert tape.runs
        await phone.say("where is it")
        await phone.wait_for_agent()
        assert words_of(call)[-1] == ("caller", "where is it")
        phone.hang_up()
        await call.ended()
        people = [event["event"] for kind, event in call.record.events if kind == "human"]
        assert people[:3] == ["took_over", "joined", "paused"]

    run_virtual(main())


def test_who_comes_after_a_person_who_was_lost_can_end_the_pause() -> None:
    async def main() -> None:
        call, phone, tape, _ = await paused_by_ana()
        control = control_of(call)
        control.human_lost("ana")
        taking = asyncio.create_task(control.take_over("bo"))
        await phone.wait(300)
        await taking
        assert not tape.runs
        control.pause("bo", False)
        assert tape.runs
        phone.hang_up()
        await call.ended()

    run_virtual(main())


CARD = "my card is 4111 1111 1111 1111 thanks"
FIRST, LAST = 3, 6
"""The words of it that are the number."""
VOICED_MS = 2100.0


class Timing:
    """A recognizer that tells when words were said, where it is asked for that: evenly, as long as there is a voice."""

    def __init__(self, call: FakeCall, instead: str | Exception | None = None) -> None:
        """`instead`: what is heard then in place of the words, or goes wrong."""
        self._recognize = call.recognizer.recognize
        self._instead = instead
        self.asked = 0
        call.recognizer.recognize = self.recognize  # type: ignore[method-assign]

    def recognize(self, samples: Samples, hints: RecognitionHints = RecognitionHints()) -> Recognition:  # noqa: B008
        heard = self._recognize(samples, hints)
        if not hints.words:
            return heard
        self.asked += 1
        if isinstance(self._instead, Exception):
            raise self._instead
        heard = replace(heard, text=self._instead or heard.text)
        voiced = np.flatnonzero(np.abs(samples) > 0.05) / 16_000
        texts = heard.text.split()
        each = (voiced[-1] - voiced[0]) / len(texts)
        words = [Word(text, voiced[0] + n * each, voiced[0] + (n + 1) * each, 0.9) for n, text in enumerate(texts)]
        return replace(heard, words=tuple(words))


def only_the_number(tape: Tape, began_ms: float) -> None:
    """Of `CARD`, begun at that time of the call, only the number was silenced."""
    [(from_ms, to_ms)] = tape.muted
    each = VOICED_MS / len(CARD.split())
    assert abs(from_ms - (began_ms + FIRST * each - LEAD_MS)) <= 80
    assert abs(to_ms - (began_ms + (LAST + 1) * each + PAD_MS)) <= 80


@pytest.mark.parametrize("has_it", ["agent", "person"])
@pytest.mark.parametrize("away", [False, True])
def test_only_the_private_words_of_a_turn_leave_the_recording(has_it: str, away: bool) -> None:
    async def main() -> None:
        call = FakeCall()
        tape, timing = taped(call), Timing(call)
        phone = await call.start()
        began_ms = now_ms()
        await phone.wait_for_agent()
        second: Returned | None = None
        if has_it == "person":
            await control_of(call).take_over("ana")
            await phone.wait(300)
        if away:
            phone.drop()
            await asyncio.sleep(6.0)
            second = Returned(call)
            phone = second.phone
            await phone.wait(600)
        await phone.say("where is my order", 900)
        await phone.wait(3000)
        assert timing.asked == 0
        said = now_ms() - began_ms
        await phone.say(CARD, VOICED_MS)
        await phone.wait(3000)
        assert timing.asked == 1
        only_the_number(tape, said)
        [turn] = [turn for (_, who), turn in call.record.turns.items() if who == "caller" and turn.text == CARD]
        assert abs(turn.started_ms - said) <= 150
        [span] = turn.reasons["private"]
        assert (span["kind"], span["from_ms"], span["to_ms"]) == ("card", *(round(at, 1) for at in tape.muted[0]))
        assert "muted" in call.record.kinds()
        phone.hang_up()
        await call.ended()
        if second is not None:
            await second.running

    run_virtual(main())


def test_a_number_that_a_person_repeats_leaves_the_recording_too() -> None:
    async def main() -> None:
        call = FakeCall()
        tape, _ = taped(call), Timing(call)
        phone = await call.start()
        began_ms = now_ms()
        await phone.wait_for_agent()
        async with Browser(await control_of(call).take_over("ana"), call) as ana, quiet_line(phone):
            await ana.wait(600)
            said = now_ms() - began_ms
            await ana.say(CARD, VOICED_MS)
            await ana.wait(2500)
        only_the_number(tape, said + 60.0)  # what waits of a browser's voice before it is passed on
        phone.hang_up()
        await call.ended()

    run_virtual(main())


@pytest.mark.parametrize("instead", [RuntimeError("the recognizer is gone"), "my card is 4111 1111 1111 thanks"])
def test_a_turn_whose_words_have_no_sure_times_is_silent_as_a_whole(instead: str | Exception) -> None:
    async def main() -> None:
        call = FakeCall()
        tape, _ = taped(call), Timing(call, instead)
        phone = await call.start()
        began_ms = now_ms()
        await phone.wait_for_agent()
        said = now_ms() - began_ms
        await phone.say(CARD, VOICED_MS)
        await phone.wait_for_agent()
        [(from_ms, to_ms)] = tape.muted
        assert from_ms <= said - 400
        assert to_ms >= said + VOICED_MS + 200
        assert not call.session.done
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_nothing_is_looked_for_in_a_call_that_is_not_recorded() -> None:
    async def main() -> None:
        call = FakeCall()
        timing = Timing(call)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say(CARD, VOICED_MS)
        await phone.wait_for_agent()
        assert timing.asked == 0
        assert "private" not in call.turn(1, "caller").reasons
        phone.hang_up()
        await call.ended()

    run_virtual(main())
