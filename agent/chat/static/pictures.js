// Choosing a picture, sending it, and showing what was read.

import { language, problem, t } from "/chat/static/strings.js";
import { ask } from "/chat/static/wire.js";

const KINDS = ["image/jpeg", "image/png", "image/webp"];
const NAMED = ["order_number", "total", "date", "error_code"];

/** Let the visitor choose a file; calls `chosen(file)`. */
export function chooser(button, chosen) {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = KINDS.join(",");
  input.hidden = true;
  button.after(input);
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) chosen(file);
  });
}

/**
 * Send a picture to `path` and show it in `log`. `sure`, `most`: of /chat/about. `say(words)`: passes words on; null
 * where the page has no line. Returns where another picture may go, or null.
 */
export async function send(file, path, log, { sure, most, say }) {
  if (!KINDS.includes(file.type)) {
    log.note(t("picture_kind"));
    return path;
  }
  if (file.size > most) {
    log.note(t("picture_large", { mb: most / 1e6 }));
    return path;
  }
  const passing = log.note(t("picture_reading"));
  try {
    const headers = { "Content-Type": file.type, "Content-Language": language };
    const told = await ask(path, { method: "POST", headers, body: file });
    log.card(card(file, told, sure, say));
    return told.next ?? null;
  } catch (error) {
    const used = error.code.startsWith("token_");
    log.note(used ? t("picture_used") : error.code === "unreachable" ? t("picture_lost") : problem(error.code));
    return error.next ?? (used ? null : path);
  } finally {
    passing.remove();
  }
}

function card(file, told, sure, say) {
  const box = document.createElement("div");
  const image = document.createElement("img");
  image.alt = t("picture_of_yours");
  image.src = URL.createObjectURL(file);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  box.append(image);
  if (told.fields.length) {
    const table = document.createElement("table");
    table.setAttribute("aria-label", t("read_label"));
    for (const field of told.fields) table.append(row(field, sure, say));
    box.append(table);
  } else if (!told.description) {
    box.append(line("p", t("picture_nothing")));
  }
  if (told.description) box.append(line("p", t("shows", { text: told.description })));
  if (told.lines.length) {
    const details = document.createElement("details");
    details.append(line("summary", t("all_text")), line("pre", told.lines.map((one) => one.text).join("\n")));
    box.append(details);
  }
  return box;
}

function row(field, sure, say) {
  const item = document.createElement("tr");
  const head = line("th", NAMED.includes(field.name) ? t(`f_${field.name}`) : field.name.replaceAll("_", " "));
  head.scope = "row";
  const percent = `${Math.round(field.confidence * 100)} %`;
  const unsure = field.confidence < sure;
  item.classList.toggle("unsure", unsure);
  const last = document.createElement("td");
  if (field.delivered) {
    last.textContent = t("passed_on");
  } else if (say !== null) {
    const button = line("button", t("is_right"));
    button.type = "button";
    button.className = "quiet";
    button.addEventListener("click", () => {
      if (say(words(field))) button.disabled = true;
    });
    last.append(button);
  }
  item.append(head, line("td", shown(field)), line("td", unsure ? `${percent}, ${t("unsure")}` : percent), last);
  return item;
}

function shown(field) {
  const { value } = field;
  return typeof value === "object" && value !== null ? `${(value.minor / 100).toFixed(2)} ${value.currency}` : String(value);
}

function words(field) {
  const values = { name: field.name.replaceAll("_", " "), value: shown(field) };
  return NAMED.includes(field.name) ? t(`say_${field.name}`, values) : t("say_other", values);
}

function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
