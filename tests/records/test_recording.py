import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records import recording as module
from agent.records.recording import StereoRecording
from audio.wav import StereoWavWriter, read_wav


def tone(value: int, samples: int) -> np.ndarray:
    return np.full(samples, value, dtype=np.int16)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    wav = read_wav(path)
    assert (wav.rate, wav.channels) == (8000, 2)
    pcm = np.round(wav.samples * 32768).astype(np.int16)
    return pcm[:, 0], pcm[:, 1]


def test_both_sides_at_their_times_with_silence_between(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    recording.caller(tone(100, 160), 0)
    recording.caller(tone(200, 160), 1000)
    recording.agent(tone(300, 80), 500)
    recording.close()
    left, right = read(tmp_path / "a.wav")
    assert len(left) == 8160
    assert (left[:160] == 100).all()
    assert (left[160:8000] == 0).all()
    assert (left[8000:] == 200).all()
    assert (right[4000:4080] == 300).all()
    assert np.count_nonzero(right) == 80
    assert recording.lost_samples == 0


def test_jitter_moves_a_piece_later_and_never_earlier(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    recording.agent(tone(1, 160), 100)
    recording.agent(tone(2, 160), 115)
    recording.agent(tone(3, 160), 145)
    recording.close()
    _, right = read(tmp_path / "a.wav")
    assert right.tolist() == [0] * 800 + [1] * 160 + [2] * 160 + [0] * 40 + [3] * 160


def test_large_overlap_replaces_what_is_there(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    recording.agent(tone(1, 12_000), 0)
    recording.agent(tone(2, 800), 100)
    recording.close()
    _, right = read(tmp_path / "a.wav")
    assert right.tolist() == [1] * 800 + [2] * 800 + [1] * 10_400


def test_what_is_too_late_is_left_out_and_counted(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    recording.caller(tone(1, 8000), 9000)
    recording.agent(tone(2, 160), 0)
    recording.agent(tone(3, 160), 8000)
    recording.close()
    left, right = read(tmp_path / "a.wav")
    assert len(left) == 80_000
    assert np.count_nonzero(right) == 160
    assert (right[64_000:64_160] == 3).all()
    assert recording.lost_samples == 160


def test_pause_leaves_silence_and_keeps_time(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    recording.caller(tone(1, 160), 0)
    recording.pause()
    recording.caller(tone(9, 160), 20)
    recording.agent(tone(9, 160), 20)
    recording.resume()
    recording.caller(tone(2, 160), 40)
    recording.close()
    left, right = read(tmp_path / "a.wav")
    assert left.tolist() == [1] * 160 + [0] * 160 + [2] * 160
    assert not right.any()


@pytest.mark.parametrize("at_ms", [float("nan"), float("inf"), 1e12])
def test_absurd_times_are_refused(tmp_path: Path, at_ms: float) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    recording.caller(tone(1, 160), at_ms)
    recording.close()
    assert read_wav(tmp_path / "a.wav").samples.size == 0
    assert recording.lost_samples == 160


def test_memory_stays_bounded_over_a_long_silence(tmp_path: Path) -> None:
    with StereoWavWriter(tmp_path / "a.wav", 8000) as writer:
        timeline = module._Timeline(writer)
        timeline.place(0, 0, tone(1, 160))
        timeline.place(0, 3600 * 8000, tone(2, 160))
        assert timeline._buffer.shape[1] == module.ROOM_MS * 8
        for piece in range(1000):
            timeline.place(1, 3600 * 8000 + 160 * piece, tone(3, 160))
            assert timeline._buffer.shape[1] == module.ROOM_MS * 8
        timeline.write_until(timeline.end)
    left, right = read(tmp_path / "a.wav")
    assert len(left) == 3600 * 8000 + 160_000
    assert np.count_nonzero(left) == 320
    assert (right[-160_000:] == 3).all()


def test_file_is_valid_while_the_call_goes_on(tmp_path: Path) -> None:
    with StereoWavWriter(tmp_path / "a.wav", 8000) as writer:
        timeline = module._Timeline(writer)
        timeline.place(0, 0, tone(7, 80_000))
        timeline.write_until(40_000)
        left, _ = read(tmp_path / "a.wav")
        assert (left == 7).all()
        assert 32_000 <= len(left) <= 40_000


def test_disk_that_fails_ends_the_recording_without_raising(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = StereoRecording(tmp_path / "a.wav")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording._writer, "write", full)
    recording.caller(tone(1, 24_000), 0)
    recording.close()
    assert recording.error is not None
    assert "No space left" in recording.error
    recording.caller(tone(1, 160), 20)
    assert recording.lost_samples == 160


def test_slow_disk_loses_the_oldest_and_stays_bounded(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    with recording._disk:
        for piece in range(2000):
            recording.caller(tone(1, 160), 20 * piece)
        assert recording._pending_samples == module.PENDING_SAMPLES
        assert recording.lost_samples == 2000 * 160 - module.PENDING_SAMPLES
    recording.close()
    assert read_wav(tmp_path / "a.wav").samples.shape == (2000 * 160, 2)


def test_what_came_is_on_disk_after_the_alignment(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    recording.caller(tone(7, 30_000), 0)
    assert recording.tend()
    left, _ = read(tmp_path / "a.wav")
    assert left.tolist() == [7] * 14_000
    assert recording.mute(0, 1000)
    assert recording.tend()
    left, _ = read(tmp_path / "a.wav")
    assert left.tolist() == [0] * 8000 + [7] * 6000
    recording.close()
    assert not recording.tend()
    left, _ = read(tmp_path / "a.wav")
    assert left.tolist() == [0] * 8000 + [7] * 22_000


def test_what_is_to_be_silenced_comes_before_what_is_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scribe = module._Scribe()
    scribe._runs = True  # no thread: the test looks itself
    monkeypatch.setattr(module, "_scribe", scribe)
    recording, other = StereoRecording(tmp_path / "a.wav"), StereoRecording(tmp_path / "b.wav")
    assert scribe._taken(time.monotonic()) is None
    assert other.mute(0, 500)
    taken = scribe._taken(time.monotonic())
    assert taken is not None
    assert taken[2:] == (other, False)
    assert scribe._taken(time.monotonic()) is None
    later = [scribe._taken(time.monotonic() + 1.0) for _ in range(3)]
    assert [one and one[2:] for one in later] == [(recording, True), (other, True), None]
    recording.close()
    other.close()


def test_all_recordings_share_a_thread_that_ends_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_REST_S", 0.001)
    scribe = module._Scribe()
    monkeypatch.setattr(module, "_scribe", scribe)
    monkeypatch.setattr(module, "WRITE_S", 0.01)
    before = set(threading.enumerate())
    recordings = [StereoRecording(tmp_path / f"{name}.wav") for name in "abc"]
    (thread,) = set(threading.enumerate()) - before
    recordings[1]._writer.close()
    for recording in recordings:
        recording.caller(tone(7, 24_000), 0)
    until = time.monotonic() + 5.0
    while time.monotonic() < until and not (recordings[1].error and recordings[2]._writer.frames == 8000):
        time.sleep(0.002)
    assert recordings[1].error is not None
    assert [recordings[n]._writer.frames for n in (0, 2)] == [8000, 8000]
    for recording in recordings:
        recording.close()
    thread.join(5.0)
    assert not thread.is_alive()
    later = StereoRecording(tmp_path / "later.wav")
    later.caller(tone(7, 160), 0)
    assert scribe._runs
    later.close()
    assert read(tmp_path / "later.wav")[0].tolist() == [7] * 160


PIECES = st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(-100, 40_000), st.integers(1, 900)), max_size=40)


@given(PIECES)
@settings(max_examples=50, deadline=None)
def test_any_order_keeps_length_and_loses_nothing_uncounted(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("recording") / "a.wav"
    with StereoWavWriter(path, 8000) as writer:
        timeline = module._Timeline(writer)
        for side, start, count in pieces:
            timeline.place(side, start, tone(5, count))  # type: ignore[arg-type]
        end = timeline.end
        timeline.write_until(end)
    left, right = read(path)
    assert len(left) == end
    given_samples = sum(count for _, _, count in pieces)
    assert np.count_nonzero(left) + np.count_nonzero(right) <= given_samples - timeline.late_samples
    if timeline.late_samples < given_samples:
        assert left.any() or right.any()
