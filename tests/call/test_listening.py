"""From audio to frames and turns, counted in received samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.listening import FRAME, PREROLL, RATE, RING_S, TAIL, Listening
from audio.codec import Encoding
from audio.resample import StreamResampler, to_float

PCM = Encoding("pcm16", RATE)


def ramp(count: int, start: int = 0) -> np.ndarray:
    """Samples that tell their own position."""
    return ((np.arange(start, start + count) % 30_000) + 1).astype(np.int16)


class Heard:
    """A `Listening` fed frame by frame with a ramp; frames are judged as they come."""

    def __init__(self, encoding: Encoding = PCM) -> None:
        self.listening = Listening(encoding, 0.5, 0.35)
        self.fed = 0

    def frames(self, count: int, voiced: bool) -> None:
        for _ in range(count):
            frames, _ = self.listening.feed(PCM.encode(ramp(FRAME, self.fed)))
            self.fed += FRAME
            for _ in frames:
                self.listening.judge(0.9 if voiced else 0.1)


@given(st.lists(st.integers(0, 1500), max_size=40))
def test_frames_are_the_stream_however_it_is_cut(sizes):
    listening, frames, narrow, at = Listening(PCM, 0.5, 0.35), [], 0, 0
    for size in sizes:
        whole, piece = listening.feed(PCM.encode(ramp(size, at)))
        frames += whole
        narrow += len(piece)
        at += size
    assert all(frame.shape == (FRAME,) and frame.dtype == np.float32 for frame in frames)
    assert len(frames) == at // FRAME
    assert listening.received == at
    expected = ramp(at)[: len(frames) * FRAME].astype(np.float32) / 32768
    np.testing.assert_allclose(np.concatenate([np.zeros(0), *frames]), expected, atol=1e-6)
    assert abs(narrow - at / 2) < 200


@pytest.mark.parametrize(("encoding", "seconds"), [(Encoding("mulaw", 8000), 1.0), (Encoding("pcm16", 8000), 1.0)])
def test_narrow_audio_is_widened_and_recorded_as_it_came(encoding, seconds):
    listening = Listening(encoding, 0.5, 0.35)
    tone = (8000 * np.sin(2 * np.pi * 300 * np.arange(8000) / 8000)).astype(np.int16)
    frames, recorded = [], []
    for at in range(0, 8000, 160):
        whole, piece = listening.feed(encoding.encode(tone[at : at + 160]))
        frames += whole
        recorded.append(piece)
    assert abs(len(frames) * FRAME - RATE * seconds) < 3 * FRAME
    np.testing.assert_array_equal(np.concatenate(recorded), encoding.decode(encoding.encode(tone)))
    loud = np.concatenate(frames)[4000:12_000]
    assert np.sqrt((loud**2).mean()) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.05)


def test_audio_of_half_a_sample_is_refused():
    with pytest.raises(ValueError, match=r"odd|bytes"):
        Listening(PCM, 0.5, 0.35).feed(b"\0" * 321)


def test_a_voiced_frame_stays_voiced_down_to_the_release():
    listening = Listening(PCM, 0.5, 0.35)
    assert [listening.judge(p) for p in (0.4, 0.5, 0.4, 0.36, 0.34, 0.4, 0.6)] == [
        *(False, True, True, True, False, False, True),
    ]


def test_a_turn_begins_before_its_first_voiced_frame_and_ends_after_its_last():
    heard = Heard()
    heard.frames(40, voiced=False)
    heard.frames(6, voiced=True)
    heard.listening.open(6)
    heard.frames(20, voiced=True)
    heard.frames(30, voiced=False)
    piece = heard.listening.turn()
    assert piece is not None
    assert (piece.begin, piece.end) == (40 * FRAME - PREROLL, 66 * FRAME + TAIL)
    np.testing.assert_allclose(
        piece.samples, ramp(piece.end - piece.begin, piece.begin).astype(np.float32) / 32768, atol=1e-6
    )


def test_a_turn_at_the_start_of_the_call_begins_with_it():
    heard = Heard()
    heard.frames(5, voiced=True)
    heard.listening.open(5)
    piece = heard.listening.turn()
    assert piece is not None
    assert piece.begin == 0
    assert heard.listening.turn_s() == pytest.approx(5 * FRAME / RATE)


def test_no_turn_is_open_before_one_opens_and_after_it_was_dropped():
    heard = Heard()
    heard.frames(5, voiced=True)
    assert heard.listening.turn() is None
    assert heard.listening.turn_s() == 0.0
    assert not heard.listening.voiced
    heard.listening.open(5)
    assert heard.listening.voiced
    heard.listening.drop()
    assert heard.listening.turn() is None


def test_the_next_turn_does_not_repeat_the_last_one():
    heard = Heard()
    heard.frames(20, voiced=True)
    heard.listening.open(20)
    heard.listening.commit()
    heard.frames(4, voiced=False)
    heard.frames(6, voiced=True)
    heard.listening.open(6)
    piece = heard.listening.turn()
    assert piece is not None
    assert piece.begin == 20 * FRAME


def test_a_merged_turn_begins_where_the_first_did():
    heard = Heard()
    heard.frames(30, voiced=False)
    heard.frames(10, voiced=True)
    heard.listening.open(10)
    first = heard.listening.turn()
    heard.frames(20, voiced=False)
    heard.frames(10, voiced=True)
    heard.listening.open(10)
    heard.listening.merge()
    both = heard.listening.turn()
    assert first is not None
    assert both is not None
    assert (both.begin, both.end) == (first.begin, min(70 * FRAME + TAIL, heard.fed))


def test_what_was_cut_off_is_not_given_again():
    heard = Heard()
    heard.frames(50, voiced=True)
    heard.listening.open(50)
    heard.listening.cut(40 * FRAME)
    piece = heard.listening.turn()
    assert piece is not None
    assert piece.begin == 40 * FRAME
    heard.listening.cut(heard.fed)
    assert heard.listening.turn() is None
    assert not heard.listening.voiced


def test_a_turn_longer_than_the_ring_keeps_its_end():
    heard = Heard()
    frames = int(RING_S * RATE / FRAME) + 200
    heard.frames(frames, voiced=True)
    heard.listening.open(frames)
    piece = heard.listening.turn()
    assert piece is not None
    assert piece.end == heard.fed
    assert piece.begin == heard.fed - int(RING_S * RATE)


@pytest.mark.parametrize("encoding", [Encoding("mulaw", 8000), Encoding("alaw", 8000), Encoding("pcm16", 16_000)])
def test_silence_between_sounds_is_placed_like_any_audio(encoding: Encoding) -> None:
    random = np.random.default_rng(0)
    loud = random.normal(0, 2000, encoding.rate // 50).astype(np.int16)
    pieces = [encoding.encode(loud), *[encoding.silence(len(loud))] * 30, encoding.encode(loud)] * 2
    listening = Listening(encoding, 0.5, 0.35)
    heard = [listening.feed(piece) for piece in pieces]
    frames = np.concatenate([frame for found, _ in heard for frame in found])
    wide = StreamResampler(encoding.rate, RATE).process(to_float(encoding.decode(b"".join(pieces))))
    assert np.allclose(frames, wide[: len(frames)], atol=1e-6)
    assert len(frames) == len(wide) // FRAME * FRAME
    assert listening.received == len(loud) * len(pieces)
    narrow = np.concatenate([pcm for _, pcm in heard])
    assert abs(len(narrow) - listening.received * 8000 // encoding.rate) <= 48
    listening.open(len(frames) // FRAME)
    for _ in range(len(frames) // FRAME):
        listening.judge(1.0)
    piece = listening.turn()
    assert piece is not None
    assert np.allclose(piece.samples, wide[piece.begin : piece.end], atol=1e-6)
