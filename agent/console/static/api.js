// Requests to the console's server. Every change carries the session's CSRF token.

export class ApiError extends Error {
  constructor(status, code, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

let csrf = "";
let signedOut = () => {};

/** Remember the token of the session that `me` told. */
export function setCsrf(token) {
  csrf = token ?? "";
}

/** What to do when the server says that there is no session any more. */
export function onSignedOut(act) {
  signedOut = act;
}

/** GET below /console/api; `query` is an object, empty values are left out. */
export async function get(path, query = {}) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) asked.set(name, value);
  }
  const text = asked.toString();
  return answer(await reach(`/console/api/${path}${text ? `?${text}` : ""}`, { method: "GET" }), path);
}

/** POST JSON below /console/api. */
export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  if (csrf) headers["X-CSRF-Token"] = csrf;
  return answer(await reach(`/console/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) }), path);
}

async function reach(address, options) {
  try {
    return await fetch(address, { credentials: "same-origin", redirect: "error", cache: "no-store", ...options });
  } catch {
    throw new ApiError(0, "unreachable", "unreachable", null);
  }
}

async function answer(response, path) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    body = null;
  }
  if (response.ok) return body ?? {};
  if (response.status === 401 && path !== "sign-in" && path !== "me") signedOut();
  throw new ApiError(response.status, said(body?.code) ?? said(body?.error?.code) ?? "", sentence(body),
    Number(response.headers.get("Retry-After")) || null);
}

function said(value) {
  return typeof value === "string" ? value : null;
}

function sentence(body) {
  const detail = body?.detail ?? body?.error ?? body?.message;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) {
    return detail.map((one) => `${(one.loc ?? []).join(".")}: ${one.msg ?? ""}`).join("; ");
  }
  return said(detail?.detail) ?? said(detail?.message) ?? "";
}

/** Part of an address. */
export function part(text) {
  return encodeURIComponent(text);
}
