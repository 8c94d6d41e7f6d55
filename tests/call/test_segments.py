"""Where turns begin and end that are only listened to."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.call.floor import FRAME_MS, FloorSettings
from agent.call.listening import FREEZE_S, LONGEST_S
from agent.call.segments import BREATH_MS, SILENCE_MS, Began, Over, Segmenter


def frames(ms: float) -> int:
    return round(ms / FRAME_MS)


def run(*stretches: tuple[bool, float]) -> list[tuple[int, Began | Over]]:
    """What happens, and at which frame, over stretches of (voiced, ms)."""
    segmenter, found, at = Segmenter(FloorSettings()), [], 0
    for voiced, ms in stretches:
        for _ in range(frames(ms)):
            at += 1
            if (what := segmenter.frame(voiced)) is not None:
                found.append((at, what))
    return found


def test_a_turn_begins_with_its_first_voiced_frame_and_ends_after_silence() -> None:
    (began_at, began), (over_at, over) = run((False, 960), (True, 640), (False, 1600))
    assert began == Began(30, 5)
    assert began_at == 35
    assert over == Over(30, 50)
    assert over_at == 50 + frames(SILENCE_MS)


def test_a_pause_does_not_end_a_turn() -> None:
    found = run((True, 640), (False, 600), (True, 640), (False, 800))
    assert [what for _, what in found] == [Began(0, 5), Over(0, frames(640) * 2 + frames(600))]


def test_a_click_begins_nothing_and_keeps_nothing_open() -> None:
    assert run((True, 64), (False, 900), (True, 32), (False, 900)) == []
    found = run((True, 640), (False, 512), (True, 32), (False, 256))
    assert [what for _, what in found] == [Began(0, 5), Over(0, 20)]


def test_a_long_turn_ends_at_a_breath() -> None:
    long_ms = FREEZE_S * 1000 + 320
    found = run((True, long_ms), (False, BREATH_MS + FRAME_MS), (True, 640), (False, 800))
    kinds = [type(what) for _, what in found]
    assert kinds == [Began, Over, Began, Over]
    assert found[1][1] == Over(0, frames(long_ms))


def test_a_turn_without_a_pause_is_cut_and_goes_on_as_another() -> None:
    found = run((True, LONGEST_S * 1000 + 3000), (False, 800))
    (_, first), (cut_at, cut), (_, second), (_, last) = found
    assert first == Began(0, 5)
    assert isinstance(cut, Over)
    assert cut.cut
    assert cut_at * FRAME_MS / 1000 - LONGEST_S < 0.1
    assert isinstance(second, Began)
    assert second.begin == cut.end
    assert isinstance(last, Over)
    assert not last.cut


def test_what_is_under_way_ends_where_no_more_comes() -> None:
    segmenter = Segmenter(FloorSettings())
    assert segmenter.finish() is None
    for _ in range(20):
        segmenter.frame(True)
    assert segmenter.open
    assert segmenter.finish() == Over(0, 20)
    assert not segmenter.open
    assert segmenter.finish() is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 120)), max_size=30))
def test_turns_do_not_overlap_and_none_is_longer_than_the_ring(stretches: list[tuple[bool, int]]) -> None:
    segmenter, last, open_ = Segmenter(FloorSettings()), 0, None
    for voiced, count in [*stretches, (False, 40)]:
        for _ in range(count):
            what = segmenter.frame(voiced)
            if isinstance(what, Began):
                assert open_ is None
                assert last <= what.begin
                open_ = what.begin
            elif isinstance(what, Over):
                assert (open_, what.begin < what.end) == (what.begin, True)
                assert (what.end - what.begin) * FRAME_MS <= LONGEST_S * 1000 + FRAME_MS
                last, open_ = what.end, None
    assert not segmenter.open
