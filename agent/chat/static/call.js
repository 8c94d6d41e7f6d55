// /call: the visitor's softphone.

import { composing, picturing } from "/chat/static/compose.js";
import { Log } from "/chat/static/log.js";
import { possible, Sound } from "/chat/static/sound.js";
import { dress, language, problem, t } from "/chat/static/strings.js";
import { ask, Line, Visit } from "/chat/static/wire.js";

const KEYS = "123456789*0#";
const by = (id) => document.getElementById(id);
const status = by("status");
const log = new Log(by("log"));
let shown = "";
let line = null;
let sound = null;
let muted = false;
let began = 0;
let visit = new Visit("call");
visit.forget(); // sound cannot go on after a reload without a click; a new call is clearer

function tell(name) {
  shown = name;
  status.textContent = name ? t(name) : "";
}

function words() {
  tell(shown);
  by("mute").textContent = muted ? t("mute_on") : t("mute");
  by("keys").setAttribute("aria-label", t("keypad"));
  for (const key of by("keys").children) key.setAttribute("aria-label", t("key", { key: key.textContent }));
}

for (const key of KEYS) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = key;
  button.addEventListener("click", () => press(key));
  by("keys").append(button);
}
dress("call_title", words);
const say = (text) => line !== null && line.send({ type: "text", text });
composing(say);

function press(digit) {
  if (line?.send({ type: "dtmf", digit })) log.note(t("you_pressed", { key: digit }));
}

function live(on) {
  by("start").hidden = on;
  by("mute").hidden = by("end").hidden = by("keys").hidden = by("compose").hidden = !on;
}

async function begin() {
  if (!possible()) {
    log.note(t("no_sound"));
    return;
  }
  by("start").disabled = true;
  tell("connecting");
  log.clear();
  sound = new Sound({
    frame: (buffer) => line?.sound(buffer),
    mark: (name) => line?.send({ type: "mark", name }),
    level: (yours, theirs) => {
      by("yours").value = yours;
      by("theirs").value = theirs;
    },
  });
  try {
    await sound.open();
  } catch {
    log.note(t("no_microphone"));
    await over("");
    return;
  }
  visit = new Visit("call");
  line = new Line(visit, { mode: "voice" });
  line.addEventListener("up", () => {
    live(true);
    tell("listening");
    by("end").focus();
  });
  line.addEventListener("down", () => {
    sound?.clear();
    tell("returning");
  });
  line.addEventListener("sound", ({ detail }) => sound?.play(detail));
  line.addEventListener("message", ({ detail }) => take(detail));
  line.addEventListener("over", ({ detail }) => over(detail === "lost" ? "lost" : "over"));
  try {
    await visit.begin(language);
    began = performance.now();
    await line.open();
  } catch (error) {
    log.note(problem(error.code));
    await over("lost");
  }
}

function take(message) {
  switch (message.type) {
    case "caption":
      log.caption(message);
      break;
    case "mark":
      sound?.mark(message.name);
      break;
    case "clear":
      sound?.clear();
      break;
    case "state":
      tell(muted && message.state === "listening" ? "muted" : message.state);
      break;
    case "transfer":
      log.note(t("transferred", { target: String(message.target) }));
      break;
  }
}

async function over(name) {
  line = null;
  began = 0;
  muted = false;
  live(false);
  by("mute").setAttribute("aria-pressed", "false");
  by("start").disabled = false;
  by("yours").value = by("theirs").value = 0;
  tell(name);
  words();
  by("start").focus();
  await sound?.close();
  sound = null;
}

by("start").addEventListener("click", begin);
by("end").addEventListener("click", () => line?.hangUp());
by("mute").addEventListener("click", () => {
  muted = !muted;
  sound?.mute(muted);
  by("mute").setAttribute("aria-pressed", String(muted));
  words();
});
document.addEventListener("keydown", (event) => {
  const typing = ["TEXTAREA", "INPUT"].includes(event.target.tagName) || event.ctrlKey || event.altKey || event.metaKey;
  if (line !== null && !typing && event.key.length === 1 && KEYS.includes(event.key)) press(event.key);
});
setInterval(() => {
  const seconds = began ? Math.floor((performance.now() - began) / 1000) : 0;
  by("clock").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}, 500);

try {
  const about = await ask("/chat/about");
  by("picture").hidden = !about.pictures;
  picturing(() => visit, log, about, say);
} catch { /* the call says it */ }
