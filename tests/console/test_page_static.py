"""What the console's page is made of: strings in both languages, nothing from elsewhere, nothing that runs markup."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import agent

STATIC = Path(agent.__file__).parent / "console" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
CODE = {path.name: path.read_text(encoding="utf-8") for path in SCRIPTS}
WORDS = {
    key.strip('"'): (english, chinese)
    for key, english, chinese in re.findall(
        r'^  ("[^"]+"|\w+): \["((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\],$', CODE["strings.js"], re.MULTILINE
    )
}
FAMILIES = {
    "nav": ("live", "queue", "callbacks", "quality", "trends", "measures", "accounts", "audit"),
    "mode": ("listen", "whisper", "talk", "barge"),
    "compose": ("say", "instruct", "note"),
    "compose_hint": ("say", "instruct", "note"),
    "sent": ("say", "instruct", "note"),
    "callbacks": ("mine", "due", "later", "taken"),
    "callback": ("take", "release", "note", "reached", "not_reached", "not_needed"),
    "callback_told": ("take", "release", "note", "reached", "not_reached", "not_needed"),
    "theme": ("auto", "light", "dark"),
    "with": ("agent", "queue", "human"),
    "trouble": ("no_microphone", "refused", "insecure", "no_audio", "closed"),
}


def test_every_text_is_there_in_english_and_chinese():
    assert len(WORDS) > 200
    for key, (english, chinese) in WORDS.items():
        assert english.strip(), key
        assert chinese.strip(), key
        assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", chinese)), key
    lines = CODE["strings.js"].split("const WORDS = {")[1].split("};")[0].strip().splitlines()
    assert len([line for line in lines if line.strip()]) == len(WORDS)


def test_every_text_that_is_used_exists():
    used = {(name, key) for name, code in CODE.items() for key in re.findall(r'\bt\("([^"]+)"', code)}
    used |= {("families", f"{family}_{one}") for family, members in FAMILIES.items() for one in members}
    assert not {(name, key) for name, key in used if key not in WORDS}


def test_no_text_is_left_over():
    everything = "\n".join(code for name, code in CODE.items() if name != "strings.js")
    plain = {key for key in WORDS if "." not in key}
    made = {f"{family}_{one}" for family, members in FAMILIES.items() for one in members}
    assert not {key for key in plain - made if f'"{key}"' not in everything}


@pytest.mark.parametrize(
    "sink",
    [
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "new Function",
        "setHTML", "createContextualFragment", "srcdoc=", "javascript:", ".cssText", 'setAttribute("style"',
    ],
)  # fmt: skip
def test_nothing_runs_markup(sink):
    assert [name for name, code in CODE.items() if sink in code] == []


def test_nothing_comes_from_elsewhere():
    """No address of another host, in scripts, styles or the page; SVG's namespace is only a name."""
    for path in [*SCRIPTS, STATIC / "console.css", STATIC / "index.html"]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://(?!\$)|@import|url\(", text), path.name


def test_the_page_has_nothing_inline():
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\son\w+=|\sstyle=", page)
    assert all(" src=" in script for script in re.findall(r"<script[^>]*>", page))


def test_modules_that_are_imported_export_what_is_asked():
    for name, code in CODE.items():
        for wanted, module in re.findall(r'import \{([^}]+)\} from "\./([\w.]+)";', code, re.DOTALL):
            exported = set(re.findall(r"export (?:async )?(?:function|class|const) (\w+)", CODE[module]))
            asked = {one.strip() for one in wanted.split(",") if one.strip()}
            assert asked <= exported, (name, module, asked - exported)
            body = code.replace(f"import {{{wanted}}}", "")
            assert all(re.search(rf"\b{one}\b", body) for one in asked), (name, module)


def test_colours_can_be_read():
    """Text on its ground has a contrast of at least 4.5 (WCAG AA), light and dark."""
    style = (STATIC / "console.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style.split("@media")[0]))
    dark = light | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style.split(':root[data-theme="dark"]')[1]))
    pairs = [
        ("ink", "paper"), ("ink", "card"), ("ink", "hover"), ("soft", "card"), ("soft", "paper"), ("blue", "card"),
        ("blue", "blue-back"), ("on-blue", "blue"), ("good", "good-back"), ("bad", "bad-back"), ("bad", "card"),
        ("warn", "warn-back"), ("warn", "card"), ("agent", "card"), ("human", "card"), ("good", "card"),
    ]  # fmt: skip
    for colours in (light, dark):
        for text, ground in pairs:
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground, colours[text])


def _contrast(one: str, other: str) -> float:
    first, second = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, to run modules that touch no page")
def test_what_needs_no_page_runs_in_node():
    """Resampling, the jitter buffer, and what feed messages do to what is known."""
    folder = json.dumps(STATIC.as_uri())
    ran = subprocess.run(
        ["node", "--input-type=module", "-e", NODE.replace("FOLDER", folder)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


NODE = r"""
import assert from "node:assert/strict";
const load = (name) => import(`${FOLDER}/${name}`);
const { Resampler } = await load("resample.js");
const { JitterBuffer, FRAME } = await load("jitter.js");
const book = await load("book.js");

// A tone of 440 Hz survives 48 -> 16 -> 48 kHz; one of 11 kHz, which 16 kHz cannot carry, is gone.
const through = (rate, pitch) => {
  const [down, up] = [new Resampler(rate, 16000), new Resampler(16000, rate)];
  const out = [];
  for (let at = 0; at < rate / 2; at += 128) {
    const block = Float32Array.from({ length: 128 }, (_, n) => Math.sin((2 * Math.PI * pitch * (at + n)) / rate));
    out.push(...up.push(down.push(block)));
  }
  const middle = out.slice(out.length / 4, (out.length * 3) / 4);
  const power = middle.reduce((sum, x) => sum + x * x, 0) / middle.length;
  return { level: Math.sqrt(2 * power), count: out.length / (rate / 2) };
};
for (const rate of [48000, 44100, 22050]) {
  const { level, count } = through(rate, 440);
  assert.ok(Math.abs(level - 1) < 0.01, `${rate}: ${level}`);
  assert.ok(Math.abs(count - 1) < 0.02, `${rate}: ${count}`);
}
assert.ok(through(48000, 11000).level < 0.02);
assert.throws(() => new Resampler(0, 16000), RangeError);

// The jitter buffer waits for 60 ms, never holds more than 200 ms, adapts, and fades where nothing comes.
const frame = (value) => new Float32Array(FRAME).fill(value);
const jitter = new JitterBuffer();
jitter.put(frame(1)); jitter.put(frame(2));
assert.equal(jitter.take()[0], 0);
jitter.put(frame(3));
assert.deepEqual([1, 2, 3].map(() => jitter.take()[0]), [1, 2, 3]);
const faded = jitter.take();
assert.ok(faded[0] > 0 && faded[FRAME - 1] < 0.02 && jitter.dry === 1 && jitter.target === 4);
for (let n = 0; n < 40; n += 1) jitter.put(frame(n));
assert.ok(jitter.frames.length === 5 && jitter.dropped === 35 && jitter.frames[0][0] === 35, "the latest");
for (let n = 0; n < 1500; n += 1) { jitter.put(frame(n)); jitter.take(); }
assert.ok(jitter.target === 3 && jitter.frames.length <= 4, `${jitter.target} ${jitter.frames.length}`);

// What was heard and what was cut.
const cut = (more) => book.heardAndCut({ speaker: "agent", text: "one two three", interrupted: true, ...more });
assert.deepEqual(cut({ heard: "one two" }), { heard: "one two", cut: " three" });
assert.deepEqual(cut({ heard: "" }), { heard: "", cut: "one two three" });
assert.deepEqual(cut({ heard: "one too" }), { heard: "one too", cut: "one two three" });
assert.deepEqual(cut({ heard: null, interrupted: false }), { heard: "one two three", cut: "" });

// Messages about a call; told twice they count once.
const detail = book.newDetail({ live: true, state: { call_id: "c", emotion: [], slots: {} }, turns: [] }, 0);
const told = (message) => book.applyDetail(detail, { call: "c", at: "T", ...message }, 0);
told({ type: "caption", speaker: "caller", text: "where is", final: false, turn: 1 });
assert.equal(detail.interim.caller.text, "where is");
const turn = { type: "turn", number: 1, speaker: "caller", text: "where is my order", intent: "order_status",
  slots: { order: "4" }, emotion: { words: "angry", both: "angry", both_angry: 0.9 } };
told(turn); told(turn);
assert.equal(detail.turns.length, 1);
assert.deepEqual(detail.interim, {});
assert.deepEqual(detail.state.emotion, [{ turn: 1, label: "angry", anger: 0.9, activation: 0 }]);
assert.deepEqual(detail.state.slots.order, { value: "4", verified: false });
told({ type: "note", who: "bo", text: "x" }); told({ type: "note", who: "bo", text: "x" });
assert.equal(detail.notes.length, 1);
told({ type: "human", who: "bo", event: "took_over" });
assert.equal(detail.state.human, "bo");
told({ type: "call_ended", outcome: "completed", reason: "goodbye" });
assert.ok(!detail.live && detail.ended.outcome === "completed");
for (let n = 2; n < 3000; n += 1) told({ type: "turn", number: n, speaker: "caller", text: "x" });
assert.equal(detail.turns.length, 2000);

detail.live = true;
const of = (number, slots) => told({ type: "turn", number, speaker: "caller", text: "x", slots });
of(2, { order: "5", yes_no: true });
assert.deepEqual(detail.state.slots, { order: { value: "5", verified: false } });
told({ type: "facts", slots: { order: { value: "5", verified: true } }, intent: "order_status", summary: "S" });
assert.ok(detail.state.slots.order.verified && detail.state.summary === "S", "as the call knows it");
detail.turns.pop();
detail.live = false;

// The lists: a handoff waits until somebody has it; unknown calls are asked for again; the rest is bounded.
const all = book.newBook();
const say = (message) => book.apply(all, message, 0);
assert.equal(say({ type: "state", call: "c", phase: "speaking" }), "unknown");
say({ type: "call_started", call: "c", gateway: "plain" });
say({ type: "handoff", call: "c", id: "h", state: "queued", position: 1 });
assert.ok(book.waits(all.queue[0]) && all.calls.get("c").with === "queue");
say({ type: "handoff", call: "c", id: "h", state: "briefing", human: "bo" });
assert.ok(!book.waits(all.queue[0]));
say({ type: "handoff", call: "c", id: "h", state: "queued", position: 1 });
assert.ok(book.waits(all.queue[0]), "back in the queue, it waits again");
say({ type: "handoff", call: "c", id: "h", state: "bridged", human: "bo" });
assert.equal(all.queue.length, 0);
say({ type: "handoff", call: "c", id: "h", state: "queued", position: 1, wait_s: 2 });
assert.equal(all.calls.get("c").waiting_s, 2, "since when he waits, not since when the call began");
book.refill(all, { topics: ["order_status"], callbacks: 2 }, 0);
say({ type: "turn", call: "c", number: 1, speaker: "caller", text: "x", intent: "order_status" });
say({ type: "turn", call: "c", number: 2, speaker: "caller", text: "yes", intent: "affirm" });
assert.equal(all.calls.get("c").intent, "order_status", "what the call is about, not what was said last");
assert.equal(say({ type: "callbacks", waiting: 3 }), "callbacks");
assert.equal(all.callbacks, 3);
for (let n = 0; n < 100; n += 1) say({ type: "alert", text: `${n}` });
assert.equal(all.alerts.length, 20);
say({ type: "call_ended", call: "c" });
assert.equal(all.calls.size, 0);
"""
