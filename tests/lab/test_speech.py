"""Callers' words: from the pack, a WAV, a cache or a voice, in that order; and packs that hold what is needed."""

import json
import re

import numpy as np
import pytest
from lab.agents import sound

from agent.config import CONFIGS
from agent.lab import make_lines
from agent.lab.make_lines import make_pack
from agent.lab.scenario import Scenario, Script, read_scenario
from agent.lab.speech import SHIPPED, CallerSpeech, Pack, Piece, dictated, needed, pieces, speech_of
from agent.lab.spoken import spoken
from agent.yamlfile import FileError
from audio import g711
from audio.wav import read_wav, write_wav

HELLO = Piece("Hello.", "jm_kumo")


def telephone(samples):
    return g711.decode_mulaw(g711.encode_mulaw(samples))


class Voice(CallerSpeech):
    """Speaks 100 ms a letter, and remembers what it was asked for."""

    def __init__(self, *packs, cache=None):
        super().__init__(packs, cache)
        self.rendered: list[str] = []

    def render(self, piece):
        self.rendered.append(piece.text)
        return telephone(sound(100 * len(piece.text)))


def scenario(*steps, lines=(), folder=CONFIGS, **more):
    return Scenario("test", Script(description="", lines=lines, steps=steps, **more), folder)


def test_a_pack_comes_back_as_written_in_mu_law(tmp_path):
    other = Piece("Hello.", "jm_kumo", speed=1.1)
    Pack.write(tmp_path / "lines.json", {HELLO: sound(301), other: sound(500)})
    read = Pack.read(tmp_path / "lines.json").sounds
    assert np.array_equal(read[HELLO.key], telephone(sound(301)))
    assert np.array_equal(read[other.key], telephone(sound(500)))
    wav = read_wav(tmp_path / "lines.wav")
    assert (wav.rate, wav.channels, len(wav.samples)) == (8000, 1, 801 * 8)
    assert (tmp_path / "lines.wav").stat().st_size < 801 * 8 + 100


@pytest.mark.parametrize(
    "changed", [{"voice": "jf_alpha"}, {"speed": 1.2}, {"seed": 1}, {"raised": True}, {"text": "Hello!"}], ids=str
)
def test_what_sounds_otherwise_is_another_piece(changed):
    fields = {"text": HELLO.text, "voice": HELLO.voice} | changed
    assert Piece(**fields).key != HELLO.key


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ("{", "cannot be used"),
        ('{"rate": 16000, "pieces": []}', "8000 Hz mono"),
        ('{"rate": 8000}', "pieces"),
        ('{"rate": 8000, "pieces": [{"key": "k", "text": "x", "start": 0, "end": 99999}]}', "not in the WAV"),
    ],
)
def test_a_damaged_pack_is_refused(tmp_path, listing, words):
    write_wav(tmp_path / "lines.wav", sound(100), 8000)
    (tmp_path / "lines.json").write_text(listing)
    with pytest.raises(FileError, match=words):
        CallerSpeech((tmp_path / "lines.json",), None)


def test_what_is_packed_or_cached_is_not_rendered_again(tmp_path):
    Pack.write(tmp_path / "lines.json", {HELLO: sound(300)})
    first = Voice(tmp_path / "lines.json", cache=tmp_path / "cache")
    assert np.array_equal(first.sound(HELLO), telephone(sound(300)))
    bye = first.sound(Piece("Bye.", "jm_kumo"))
    assert first.rendered == ["Bye."]
    second = Voice(tmp_path / "lines.json", cache=tmp_path / "cache")
    assert np.array_equal(second.sound(Piece("Bye.", "jm_kumo")), bye)
    assert second.rendered == []


def test_commas_become_pauses_but_for_those_of_no_length():
    lines = [{"id": "mail", "text": "Well, it is, theo, dot, com", "pauses_ms": [0, 500, 0]}]
    read = scenario({"say": "mail"}, lines=lines, voice="jf_alpha")
    (line,) = read.spoken_lines()
    assert [piece.text for piece in pieces(read, line)] == ["Well, it is", "theo, dot, com"]
    said = Voice().step(read, read.script.steps[0])
    assert [(last - first) / 8 for first, last in said.pauses] == [500]


def test_digits_and_letters_are_said_one_by_one():
    read = scenario({"dictate": "4 271 nine", "pause_ms": 300}, {"spell": "J a-n"}, {"press": "1"})
    voice = Voice()
    number, name, nothing = (voice.step(read, step) for step in read.script.steps)
    assert voice.rendered == ["four", "two seven one", "nine", "J", "ay", "dash", "N"]
    assert [(last - first) / 8 for first, last in number.pauses] == [300, 300]
    assert len(name.pauses) == 3
    assert nothing is None
    assert [piece.text for piece in needed(read)] == ["four", "two seven one", "nine", "J", "ay", "dash", "N"]


@pytest.mark.parametrize(("group", "words"), [("427", "four two seven"), ("0", "zero"), ("nine", "nine")])
def test_a_group_of_digits_is_words(group, words):
    assert re.sub(" +", " ", dictated(group)) == words


def test_a_line_may_be_a_recording(tmp_path):
    write_wav(tmp_path / "mine.wav", np.concatenate([np.zeros(800, np.int16), sound(300)]), 8000)
    lines = [{"id": "mine", "text": "Hm.", "wav": "mine.wav"}]
    read = scenario({"say": "mine"}, lines=lines, folder=tmp_path)
    said = Voice().step(read, read.script.steps[0])
    assert (said.end - said.start) / 8 == pytest.approx(300, abs=6)
    assert list(needed(read)) == []


def test_what_cannot_be_rendered_is_named(monkeypatch):
    monkeypatch.setattr("agent.lab.caller_voice.find_spec", lambda name: None)
    with pytest.raises(FileError, match=r"'Hello\.' was not rendered before and cannot be now: .*callagent\[lab\]"):
        CallerSpeech((), None).sound(HELLO)


def test_a_pack_holds_what_its_scenarios_need_and_nothing_else(tmp_path):
    listing = tmp_path / "lines.json"
    Pack.write(listing, {HELLO: sound(300), Piece("Gone.", "jm_kumo"): sound(300)})
    read = scenario({"say": "Hello."}, {"say": "Bye."})
    voice = Voice(listing)
    make_pack(listing, [read], voice)
    assert voice.rendered == ["Bye."]
    made = json.loads(listing.read_text())["pieces"]
    assert {entry["text"] for entry in made} == {"Hello.", "Bye."}
    again = Pack.read(listing).sounds
    before = spoken([telephone(sound(300))]).samples
    assert np.array_equal(again[HELLO.key], telephone(before))


def test_packs_beside_scenarios_are_found(tmp_path):
    for name, ms in (("one", 300), ("two", 400)):
        (tmp_path / name).mkdir()
        Pack.write(tmp_path / name / "lines.json", {Piece(f"Not in the pack, {name}.", "jm_kumo"): sound(ms)})
    speech = speech_of([scenario({"hang_up": True}, folder=tmp_path / name) for name in ("one", "two")])
    assert len(speech.sound(Piece("Not in the pack, two.", "jm_kumo"))) == 400 * 8
    assert len(speech.sound(Piece("Not in the pack, one.", "jm_kumo"))) == 300 * 8


def test_a_folder_without_scenarios_has_no_lines(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["make_lines", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds no scenario"):
        make_lines.main()


def test_the_shipped_pack_says_all_that_shipped_scenarios_say():
    packed = Pack.read(SHIPPED).sounds
    scenarios = [read_scenario(path) for path in sorted((CONFIGS / "scenarios").glob("*.yaml"))]
    lacking = {piece.text for one in scenarios for piece in needed(one) if piece.key not in packed}
    assert not lacking, f"run: python -m agent.lab.make_lines configs/scenarios; it lacks {lacking}"
    assert sum(path.stat().st_size for path in (SHIPPED, SHIPPED.with_suffix(".wav"))) < 2_000_000
