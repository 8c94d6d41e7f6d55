"""Recorded speech: each known form is read, and a wrong one is refused with its place."""

import json

import av
import numpy as np
import pytest

from agent.config import CONFIGS
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.recordings import RATE, cue_lines, read_folder
from audio.wav import write_wav

TONE = (np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000) * 8000).astype(np.int16)


def flac(path):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("flac", rate=8000, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(TONE[None, :], format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)


def test_a_table_with_wav_and_flac(tmp_path):
    write_wav(tmp_path / "a.wav", TONE, 8000)
    flac(tmp_path / "b.flac")
    (tmp_path / "metadata.tsv").write_text("file\ttext\tage\na.wav\tHello there\t9\nb.flac\tGoodbye\t8\n")
    found = read_folder(tmp_path)
    assert [recording.text for recording in found] == ["Hello there", "Goodbye"]
    for recording in found:
        samples = recording.samples()
        assert abs(len(samples) - RATE) < RATE // 20
        assert samples.dtype == np.float32
        assert 0.15 < np.abs(samples).max() < 0.4


def test_a_table_of_digits(tmp_path):
    write_wav(tmp_path / "a.wav", TONE, 8000)
    (tmp_path / "metadata.tsv").write_text("file\tdigit\na.wav\t7\n")
    assert read_folder(tmp_path)[0].text == "7"


def test_libri_lists_below_the_folder(tmp_path):
    place = tmp_path / "reader" / "chapter"
    place.mkdir(parents=True)
    flac(place / "1-2-0000.flac")
    (place / "1-2.trans.txt").write_text("1-2-0000 HE SAID NOTHING\n")
    (found,) = read_folder(tmp_path)
    assert (found.text, found.sound.name) == ("HE SAID NOTHING", "1-2-0000.flac")


def test_json_lists_and_no_other_json(tmp_path):
    write_wav(tmp_path / "x.wav", TONE, 8000)
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "list.json").write_text(json.dumps([{"filename": "x.wav", "transcription": "Ring."}]))
    assert [recording.text for recording in read_folder(tmp_path)] == ["Ring."]


def test_a_limit_draws_by_seed(tmp_path):
    write_wav(tmp_path / "a.wav", TONE, 8000)
    rows = "".join(f"a.wav\tline {n}\n" for n in range(30))
    (tmp_path / "metadata.tsv").write_text("file\ttext\n" + rows)
    drawn = [[one.text for one in read_folder(tmp_path, 5, seed)] for seed in (1, 1, 2)]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("name\ttext\na.wav\tx\n", "has the columns name, text"),
        ("file\ttext\na.wav\t\n", ":2: 'file' or 'text' is empty"),
        ("file\ttext\nmissing.wav\thi\n", "missing.wav is named"),
        ("file\ttext\n", "holds no utterances"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, table, words):
    (tmp_path / "metadata.tsv").write_text(table)
    with pytest.raises(MeasureFailed, match=words):
        read_folder(tmp_path)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(MeasureFailed, match="is no folder"):
        read_folder(tmp_path / "nothing")


def test_damaged_audio_is_refused_by_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"not audio at all")
    (tmp_path / "metadata.tsv").write_text("file\ttext\na.wav\thi\n")
    with pytest.raises(MeasureFailed, match=r"a\.wav cannot be read"):
        read_folder(tmp_path)[0].samples()


def test_the_lines_of_a_caller(tmp_path):
    lines = cue_lines(CONFIGS / "scenarios" / "latency.json")
    assert lines[0].text == "Hi, where is my order?"
    assert 1.0 < len(lines[0].samples()) / RATE < 2.0
