"""The pages' own files: both languages whole, nothing inline, nothing from elsewhere, text only as text; the sound."""

import json
import re
import shutil
import subprocess

import pytest

from agent.chat.pages import STATIC

SCRIPTS = sorted(STATIC.glob("*.js"))
PAGES = sorted(STATIC.glob("*.html"))


def tables() -> dict[str, set[str]]:
    """Names of the texts of each language."""
    text = (STATIC / "strings.js").read_text()
    parts = re.split(r"\n  (en|zh): \{", text.split("export const STRINGS")[1].split("\n};")[0])
    return {
        parts[at]: set(re.findall(r'(?:^|,\s)\s*(\w+): "', parts[at + 1], re.MULTILINE))
        for at in range(1, len(parts), 2)
    }


def test_every_text_is_there_in_both_languages():
    named = tables()
    assert len(named["en"]) > 70
    assert named["en"] == named["zh"]
    used = {name for page in PAGES for name in re.findall(r'data-text="(\w+)"', page.read_text())}
    used |= {name for script in SCRIPTS for name in re.findall(r'\bt\("(\w+)"', script.read_text())}
    assert used <= named["en"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_insert_text_only(path):
    text = path.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", ".style"):
        assert word not in text, word
    assert not re.findall(r"https?://", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_have_nothing_inline_and_nothing_from_elsewhere(path):
    text = path.read_text()
    assert not re.findall(r"\son\w+=|style=|<style|https?://", text)
    assert re.findall(r"<script(?![^>]*\ssrc=)", text) == []
    for target in re.findall(r'(?:src|href)="(/[^"]+)"', text):
        assert (STATIC / target.removeprefix("/chat/static/")).is_file(), target


MEASURE = """
import { Queue, Resampler } from "./worklet.js";
const tone = (rate, hertz) => Float32Array.from({ length: rate }, (_, n) => Math.sin(2 * Math.PI * hertz * n / rate));
const peak = (samples) => samples.slice(500, -500).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const through = (from, to, hertz) => {
  const resampler = new Resampler(from, to);
  const sound = tone(from, hertz);
  const out = [];
  for (let n = 0; n < sound.length; n += 128) out.push(...resampler.take(sound.subarray(n, n + 128)));
  return [out.length, peak(out)];
};
const queue = new Queue(16000);
const told = [];
const out = new Float32Array(480);
queue.add(new Float32Array(320).fill(0.5));
told.push([queue.fill(out), out[0]]);
queue.add(new Float32Array(960).fill(0.5));
queue.mark("one");
told.push([queue.fill(out), out[0]]);
told.push([queue.fill(out), out[0]]);
told.push([queue.fill(out), out[319], out[320]]);
queue.add(new Float32Array(320).fill(0.25));
queue.mark("short");
told.push([queue.fill(out), out[0], out[330]]);
queue.add(new Float32Array(3200).fill(0.25));
queue.mark("dropped");
queue.clear();
told.push([queue.fill(out), out[0]]);
console.log(JSON.stringify({
  down: through(48000, 16000, 1000), high: through(48000, 16000, 11000), odd: through(44100, 16000, 1000),
  up: through(16000, 48000, 1000), same: through(16000, 16000, 1000), told,
}));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_sound_keeps_its_loudness_and_marks_their_place(tmp_path):
    (tmp_path / "worklet.js").write_text((STATIC / "worklet.js").read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "measure.js").write_text(MEASURE)
    ran = subprocess.run(["node", "measure.js"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True)
    found = json.loads(ran.stdout)
    for name, rate in (("down", 16000), ("odd", 16000), ("up", 48000), ("same", 16000)):
        count, peak = found[name]
        assert count == pytest.approx(rate, abs=120), name
        assert peak == pytest.approx(1.0, abs=0.02), name
    assert found["high"][1] < 0.05  # what 16 kHz cannot carry does not fold back
    assert found["told"] == [
        [[], 0],  # 20 ms are too few to begin
        [[], 0.5],
        [[], 0.5],
        [["one"], 0.5, 0],
        [["short"], 0.25, 0],  # a mark lets the end of a reply through
        [[], 0],  # dropped with its sound
    ]
