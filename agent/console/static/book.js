// What the console knows of calls, kept up by feed messages. Nothing here touches the page.

const MOST_TURNS = 2000;
const MOST_KEPT = 200;
const MOST_EMOTIONS = 200;
const NO_VALUES = new Set(["yes_no"]); // slots that answer a question, and are nothing that a caller gave
const OPEN = new Set(["offered", "queued", "ringing", "briefing", "human_dropped"]);

/** All live calls, the queue and the people: what the lists show. */
export function newBook() {
  return { calls: new Map(), queue: [], people: [], alerts: [], callbacks: 0, topics: null };
}

/** Take what the server answered when asked for everything. */
export function refill(book, { calls, queue, people, callbacks, topics }, nowMs) {
  if (topics) book.topics = new Set(topics);
  if (calls) book.calls = new Map(calls.map((call) => [call.call_id, { ...call, seenMs: nowMs, waitsMs: nowMs }]));
  if (queue) book.queue = queue.filter((one) => OPEN.has(one.state)).map((one) => ({ ...one, seenMs: nowMs }));
  if (people) book.people = people;
  if (callbacks !== undefined) book.callbacks = callbacks;
}

/** Apply a message to the lists; what changed: "calls", "queue", "people", "callbacks", "alerts", "unknown" (ask again) or null. */
export function apply(book, message, nowMs) {
  const call = message.call == null ? undefined : book.calls.get(message.call);
  switch (message.type) {
    case "call_started":
      book.calls.set(message.call, { with: "agent", phase: "", emotion: [], slots: {}, duration_s: 0,
        started_at: message.at, ...fields(message), call_id: message.call, seenMs: nowMs });
      return "calls";
    case "call_ended":
      book.queue = book.queue.filter((one) => callOf(one) !== message.call);
      return book.calls.delete(message.call) ? "calls" : null;
    case "handoff":
      return applyHandoff(book, message, nowMs, call);
    case "agents":
      book.people = message.people ?? message.agents ?? message.seats ?? book.people;
      return "people";
    case "callbacks":
      book.callbacks = message.waiting ?? book.callbacks;
      return "callbacks";
    case "alert":
      book.alerts = [message, ...book.alerts].slice(0, 20);
      return "alerts";
    case "state":
    case "facts":
    case "turn":
    case "human":
      if (call === undefined) return message.call == null ? null : "unknown";
      applyToState(call, message, nowMs, book.topics);
      return "calls";
    default:
      return null;
  }
}

/** Whether a handoff still waits for somebody. */
export function waits(handoff) {
  return ["offered", "queued", "ringing"].includes(handoff.state) && !handoff.human;
}

/** Whether a handoff is in the queue, or on its way to somebody. */
export function isOpen(handoff) {
  return OPEN.has(handoff.state);
}

export function callOf(handoff) {
  return handoff.call ?? handoff.call_id;
}

function applyHandoff(book, message, nowMs, call) {
  const rest = book.queue.filter((one) => one.id !== message.id);
  const before = book.queue.find((one) => one.id === message.id) ?? {};
  const now = { ...before, ...fields(message), id: message.id, call: message.call, seenMs: nowMs };
  if (["offered", "queued", "ringing"].includes(message.state)) now.human = null;
  book.queue = OPEN.has(message.state) ? [...rest, now].sort(byPosition) : rest;
  if (call !== undefined && waits(now)) {
    if (call.with === "agent") call.with = "queue";
    Object.assign(call, { waiting_s: now.wait_s, waitsMs: nowMs });
  }
  return "queue";
}

function byPosition(one, other) {
  return (one.position ?? 1e9) - (other.position ?? 1e9) || (other.wait_s ?? 0) - (one.wait_s ?? 0);
}

/** One call as the call's page shows it, from the server's answer. */
export function newDetail(answer, nowMs) {
  const state = answer.state ?? {};
  const row = answer.call ?? {};
  const detail = {
    ...answer,
    live: answer.live ?? row.finished_at == null,
    state: { ...state, call_id: state.call_id ?? row.id, seenMs: nowMs,
      waitsMs: nowMs, emotion: [...(state.emotion ?? [])], slots: { ...(state.slots ?? {}) } },
    row,
    topics: answer.topics?.length ? new Set(answer.topics) : null,
    turns: [],
    interim: {},
    actions: [...(answer.actions ?? [])],
    notes: [...(answer.notes ?? [])],
    pictures: [...(answer.pictures ?? [])],
    history: answer.history ?? [],
    runnable: answer.runnable ?? [],
    handoffs: answer.handoffs ?? [],
    people: [],
    ended: row.outcome ? { outcome: row.outcome, reason: row.reason } : null,
  };
  for (const name of ["gateway", "caller", "called", "domain"]) detail.state[name] ??= row[name];
  detail.state.started_at ??= row.opened_at;
  for (const turn of answer.turns ?? []) putTurn(detail, turn);
  if (!answer.state) deriveState(detail);
  return detail;
}

/** Whether a turn is new and the one before it is not known: something was said while nobody listened. */
export function missed(detail, message) {
  const last = Math.max(-1, ...detail.turns.map((turn) => turn.number));
  return message.type === "turn" && message.number > last + 1;
}

/** Apply a message about this call; true where something shown changed. */
export function applyDetail(detail, message, nowMs) {
  switch (message.type) {
    case "caption":
      if (message.final) delete detail.interim[message.speaker];
      else detail.interim[message.speaker] = { text: message.text ?? "", turn: message.turn };
      if (message.final && message.text) captionTurn(detail, message);
      return true;
    case "turn":
      putTurn(detail, { ...fields(message), speaker: message.speaker, who: message.who });
      if (detail.interim[message.speaker]?.turn === undefined || detail.interim[message.speaker].turn <= message.number) {
        delete detail.interim[message.speaker];
      }
      applyToState(detail.state, message, nowMs, detail.topics);
      return true;
    case "state":
    case "facts":
    case "human":
      applyToState(detail.state, message, nowMs);
      if (message.type === "human") keep(detail.people, fields(message, ["at"]));
      return true;
    case "action":
      keep(detail.actions, fields(message, ["at"]));
      return true;
    case "note":
      if (!detail.notes.some((note) => note.at === message.at && note.text === message.text)) {
        keep(detail.notes, fields(message, ["at"]));
      }
      return true;
    case "picture":
      detail.pictures = [...detail.pictures.filter((one) => one.id !== message.id), fields(message, ["at"])].slice(-20);
      return true;
    case "handoff":
      detail.handoffs = [...detail.handoffs.filter((one) => one.id !== message.id),
        { ...detail.handoffs.find((one) => one.id === message.id), ...fields(message) }];
      return true;
    case "call_ended":
      detail.live = false;
      detail.interim = {};
      detail.ended = { outcome: message.outcome, reason: message.reason };
      return true;
    default:
      return false;
  }
}

function keep(list, item) {
  list.push(item);
  if (list.length > MOST_KEPT) list.splice(0, list.length - MOST_KEPT);
}

function fields(message, also = []) {
  const { type, call, at, ...data } = message;
  for (const name of also) data[name] = message[name];
  return data;
}

/** `topics`: the intents that say what a call is about; null where any may. */
function applyToState(state, message, nowMs, topics = null) {
  if (message.type === "state") {
    if (message.with === "queue" && state.with !== "queue") Object.assign(state, { waiting_s: 0, waitsMs: nowMs });
    const { duration_s: duration, ...data } = fields(message);
    Object.assign(state, data);
    if (duration !== undefined) Object.assign(state, { duration_s: duration, seenMs: nowMs });
    if (message.with && message.with !== "human") state.human = null;
  } else if (message.type === "facts") {
    Object.assign(state, fields(message));
  } else if (message.type === "human") {
    if (message.event === "took_over") Object.assign(state, { with: "human", human: message.who });
    if (message.event === "handed_back") Object.assign(state, { with: "agent", human: null });
    if (message.event === "lost" && state.human === message.who) Object.assign(state, { with: "queue", human: null });
  } else if (message.speaker === "caller") {
    if (message.intent && (topics === null || topics.has(message.intent))) state.intent = message.intent;
    for (const [name, value] of Object.entries(message.slots ?? {})) if (!NO_VALUES.has(name)) putSlot(state, name, value);
    const felt = feeling(message.emotion);
    if (felt !== null) {
      state.emotion = [...(state.emotion ?? []).filter((one) => one.turn !== message.number),
        { turn: message.number, ...felt }].slice(-MOST_EMOTIONS);
    }
  }
}

function putSlot(state, name, value) {
  const given = value !== null && typeof value === "object" && "value" in value ? value : { value };
  const before = state.slots?.[name];
  const same = before !== undefined && JSON.stringify(before.value) === JSON.stringify(given.value);
  state.slots = { ...state.slots, [name]: { verified: same ? before.verified : false, ...given } };
}

/** Label and anger of a turn's emotion, whichever parts of it are known; null where there is none. */
export function feeling(emotion) {
  if (!emotion || typeof emotion !== "object") return null;
  const label = emotion.label ?? emotion.both ?? emotion.words ?? emotion.voice;
  if (label === undefined) return null;
  const anger = emotion.both_angry ?? emotion.anger ?? (label === "angry" ? 0.8 : 0);
  return { label: String(label), anger: Number(anger) || 0, activation: Number(emotion.activation) || 0 };
}

function putTurn(detail, turn) {
  const at = detail.turns.findIndex((one) => one.number === turn.number && one.speaker === turn.speaker);
  if (at >= 0) detail.turns[at] = { ...detail.turns[at], ...turn };
  else {
    detail.turns.push(turn);
    detail.turns.sort(inOrder);
    if (detail.turns.length > MOST_TURNS) detail.turns.shift();
  }
}

const ORDER = { caller: 0, human: 1, agent: 2 };

function inOrder(one, other) {
  return one.number - other.number || (one.started_ms ?? one.at_ms ?? 0) - (other.started_ms ?? other.at_ms ?? 0)
    || (ORDER[one.speaker] ?? 3) - (ORDER[other.speaker] ?? 3);
}

function captionTurn(detail, message) {
  if (message.turn === undefined || message.turn === null) return;
  const known = detail.turns.find((one) => one.number === message.turn && one.speaker === message.speaker);
  if (known === undefined) putTurn(detail, { number: message.turn, speaker: message.speaker, text: message.text });
}

function deriveState(detail) {
  for (const turn of detail.turns) {
    applyToState(detail.state, { ...turn, type: "turn" }, 0, detail.topics);
  }
  detail.state.duration_s ??= detail.row.duration_ms == null ? undefined : detail.row.duration_ms / 1000;
}

/** What the caller heard of an agent's turn, what was cut, and whether that is known. */
export function heardAndCut(turn) {
  const text = turn.text ?? "";
  if (turn.speaker !== "agent" || !turn.interrupted) return { heard: text, cut: "" };
  const heard = turn.heard ?? "";
  if (text.startsWith(heard)) return { heard, cut: text.slice(heard.length) };
  return { heard, cut: text === heard ? "" : text };
}

/** Seconds a call lasts now; an ended one does not go on. */
export function lasting(state, nowMs, live = true) {
  const known = state.duration_s;
  if (known === undefined || known === null) return null;
  return live && state.seenMs ? known + (nowMs - state.seenMs) / 1000 : known;
}

/** Seconds somebody has waited now. */
export function waiting(handoff, nowMs) {
  const known = handoff.wait_s ?? handoff.waiting_s;
  if (known === undefined || known === null) return null;
  return handoff.seenMs ? known + (nowMs - handoff.seenMs) / 1000 : known;
}
