// /chat: the dialogue, typed.

import { composing, picturing } from "/chat/static/compose.js";
import { Log } from "/chat/static/log.js";
import { dress, language, problem, t } from "/chat/static/strings.js";
import { ask, Line, Visit } from "/chat/static/wire.js";

const by = (id) => document.getElementById(id);
const status = by("status");
let shown = "connecting";
let line = null;
let visit = new Visit("chat");

function tell(name) {
  shown = name;
  status.textContent = t(name);
}

dress("chat_title", () => tell(shown));
if (!visit.known) new Log(document.createElement("ol"), "chat").forget();
const log = new Log(by("log"), "chat");
const say = (text) => line !== null && line.send({ type: "text", text });
const box = composing(say);

function live(on) {
  box.disabled = by("send").disabled = !on;
  by("end").hidden = !on;
  if (on) box.focus();
}

async function begin() {
  tell("connecting");
  by("again").hidden = true;
  const start = { mode: "text", audio: false };
  line = new Line(visit, start);
  line.addEventListener("up", () => {
    live(true);
    tell("listening");
  });
  line.addEventListener("down", () => {
    live(false);
    tell("returning");
  });
  line.addEventListener("message", ({ detail }) => {
    if (detail.type === "caption") log.caption(detail);
    else if (detail.type === "state" && detail.state !== "speaking") tell(detail.state);
  });
  line.addEventListener("over", ({ detail }) => over(detail === "lost" ? "lost" : "over"));
  try {
    if (visit.known) {
      try {
        await line.open();
        return;
      } catch (error) {
        if (error.code === "unreachable") throw error;
        visit.forget();
        log.forget();
        log.clear();
      }
    }
    await visit.begin(language);
    await line.open();
  } catch (error) {
    log.note(problem(error.code));
    over("lost");
  }
}

function over(name) {
  live(false);
  tell(name);
  line = null;
  log.forget();
  by("picture").hidden = true;
  by("again").hidden = false;
  by("again").focus();
}

by("end").addEventListener("click", () => line?.hangUp());
by("again").addEventListener("click", () => {
  visit = new Visit("chat");
  log.clear();
  by("picture").hidden = !about.pictures;
  begin();
});

let about = { pictures: false, picture_bytes: 0, sure: 1 };
try {
  about = await ask("/chat/about");
} catch { /* the conversation says it */ }
by("picture").hidden = !about.pictures;
picturing(() => visit, log, about, say);
await begin();
