// What was asked lately in this browser: small copies of the pictures, the answer, and a way to ask again.

import { closeDialog, openDialog } from "./dialogs.js";
import { button, byId, make, show } from "./elements.js";
import { clearQuestions, keepQuestion, keptQuestions } from "./history-store.js";
import { showPicture, thumbnailOf } from "./server.js";
import { plural } from "./words.js";

const MAX_PICTURES = 4; // of one question
const LONGEST_SIDE = 640; // more than an encoder looks at
const TYPE = "image/webp";

const ids = new WeakMap(); // a question of the page -> its id in the store, so that a changed filter is no new one
const copies = new WeakMap(); // a file -> the promise of its small copy
let unkept = null; // why this browser keeps no history, once that is known

let keeping = Promise.resolve(); // one after another, so that a question that is asked anew at once is kept once

/** Keep a question with what was answered, in the background. */
export function remember(question, { prediction }) {
  keeping = keeping.then(() => keep(question, prediction));
}

/** That a question cannot be kept is said where the history is opened. */
async function keep(question, { label, unknown = null }) {
  try {
    const blobs = await Promise.all(question.pictures.slice(0, MAX_PICTURES).map(({ file }) => copyOf(file)));
    const pictures = blobs.filter((blob) => blob !== null);
    if (question.itemId === null && pictures.length === 0) return; // a format that this browser cannot draw
    const entry = { itemId: question.itemId, pictures, label, unknown, when: Date.now() };
    const known = ids.get(question);
    ids.set(question, await keepQuestion(known === undefined ? entry : { ...entry, id: known }));
  } catch (error) {
    unkept = error;
  }
}

function copyOf(file) {
  if (!copies.has(file)) copies.set(file, smaller(file));
  return copies.get(file);
}

/** A small copy of a picture, upright; null of one that this browser cannot read, although the server can. */
async function smaller(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (bitmap === null) return null;
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = make("canvas", { width, height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob(resolve, TYPE, 0.85));
}

/** Open the history; `askFiles` and `askItem` ask one of its questions again. */
export async function openHistory(askFiles, askItem) {
  const urls = [];
  openDialog("history", () => urls.forEach((url) => URL.revokeObjectURL(url)));
  await keeping;
  const questions = await keptQuestions().catch((error) => {
    unkept = error;
    return [];
  });
  const fileOf = (blob, row) => new File([blob], `earlier picture ${row + 1}`, { type: blob.type });
  const again = ({ itemId, pictures }) => {
    closeDialog("history");
    if (itemId !== null) askItem(itemId);
    else askFiles(pictures.map(fileOf));
  };
  byId("history-list").replaceChildren(...questions.map((question) => entryOf(question, urls, again)));
  byId("history-empty").textContent = unkept
    ? `This browser keeps no history here: ${unkept.message}`
    : "Nothing was asked yet.";
  show(byId("history-empty"), questions.length === 0);
  show(byId("history-clear"), questions.length > 0);
}

function entryOf(question, urls, again) {
  const { itemId, pictures, label, unknown, when } = question;
  const path = itemId === null ? URL.createObjectURL(pictures[0]) : thumbnailOf(itemId);
  if (itemId === null) urls.push(path);
  const image = make("img", { alt: "" });
  showPicture(image, path);
  const name = unknown ? "none of these" : label || "no name";
  const parts = [new Date(when).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })];
  if (pictures.length > 1) parts.push(plural(pictures.length, "picture"));
  if (itemId !== null) parts.push("from an item");
  const entry = button("", () => again(question), { className: "entry" });
  entry.append(
    image,
    make("span", { className: "entry-name", textContent: name }),
    make("span", { className: "entry-when", textContent: parts.join(" · ") }),
  );
  return make("li", {}, entry);
}

/** Forget all that was asked. */
export async function clearHistory() {
  await keeping;
  await clearQuestions();
  byId("history-list").replaceChildren();
  byId("history-empty").textContent = "Nothing is kept any more.";
  show(byId("history-empty"), true);
  show(byId("history-clear"), false);
}
