// The server that the page came from, and the key that it may ask for. No other host is ever asked.

import { ofThisTab } from "./storage.js";

const KEY_CODES = new Set(["key_missing", "key_refused", "scope_too_small"]);
const KEY_NAME = "lodisc-key";

export const LOST = "lost"; // the code of an error where no answer came at all

// What may be over in a moment, so that the same can be asked again.
const PASSING_CODES = new Set([
  LOST, "overloaded", "not_ready", "deadline_passed", "keys_unavailable", "body_too_slow",
]);

export const asksForKey = (error) => KEY_CODES.has(error.code);
export const passes = (error) => PASSING_CODES.has(error.code);

export const storedKey = () => ofThisTab.get(KEY_NAME); // gone with the tab, and never sent but to this server
export const storeKey = (key) => ofThisTab.set(KEY_NAME, key);
export const forgetKey = () => ofThisTab.remove(KEY_NAME);

/**
 * The slashes of an id stand as they are, but where a browser would take out `.` or `..` between them, escaped or not,
 * and so come to the path of another item: the server reads both.
 */
export function pathOf(id) {
  const segments = id.split("/");
  if (segments.some((one) => one === "." || one === "..")) return `/items%2F${encodeURIComponent(id)}`;
  return `/items/${segments.map(encodeURIComponent).join("/")}`;
}

export const thumbnailOf = (id) => `${pathOf(id)}/thumbnail`;

/** The options of a request, with the key if there is one. */
function withKey(options = {}) {
  const key = storedKey();
  return key ? { ...options, headers: { ...options.headers, Authorization: `Bearer ${key}` } } : options;
}

/** Show a picture of the server. A browser sends no header of ours for an image, so with a key it is fetched. */
export async function showPicture(image, path) {
  if (!storedKey() || path.startsWith("blob:")) {
    image.src = path;
    return;
  }
  const response = await fetch(path, withKey()).catch(() => null);
  const url = response && response.ok ? URL.createObjectURL(await response.blob()) : null;
  const letGo = () => url && URL.revokeObjectURL(url);
  image.loading = "eager"; // its bytes are here already, and are let go of once it is loaded
  image.addEventListener("load", letGo, { once: true });
  image.addEventListener("error", letGo, { once: true });
  image.src = url || path;
}

/** The answer's JSON, null where it has no content, or an Error that carries the server's own words. */
export async function ask(path, options) {
  const asked = withKey(options);
  let response;
  try {
    response = await fetch(path, asked);
  } catch {
    throw Object.assign(new Error("The server does not answer. Is it still running?"), { code: LOST });
  }
  if (response.status === 204) return null;
  const document = await response.json().catch(() => null);
  if (response.ok && document) return document;
  const said = document && document.error;
  const error = new Error(said ? said.message : `The server answered ${response.status} without saying why.`);
  error.code = said ? said.code : null;
  error.pictures = (said && said.detail && said.detail.pictures) || [];
  throw error;
}
