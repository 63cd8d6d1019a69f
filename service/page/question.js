// What is asked: photographs of one thing, or an item of the catalogue. A question is never changed, only replaced.

import { thumbnailOf } from "./server.js";

/** A question from pictures: files of this machine, each with an address under which the page can show it. */
export const ofFiles = (files) => ({
  itemId: null,
  pictures: [...files].map((file) => ({ file, name: file.name || "pasted picture", url: URL.createObjectURL(file) })),
});

export const ofItem = (itemId) => ({ itemId, pictures: [] });

/** The same thing with more photographs of it; of an item the photographs alone. */
export const withMore = (question, files) => ({
  itemId: null,
  pictures: [...(question ? question.pictures : []), ...ofFiles(files).pictures],
});

/** The same without one of its photographs, null if it was the only one. */
export function without(question, position) {
  const pictures = question.pictures.filter((_, place) => place !== position);
  return pictures.length > 0 ? { itemId: null, pictures } : null;
}

/** Let go of the pictures of a question that the next one does not have. */
export function letGo(question, next = null) {
  const kept = new Set(next ? next.pictures : []);
  for (const picture of question ? question.pictures : []) if (!kept.has(picture)) URL.revokeObjectURL(picture.url);
}

/** What the page shows of a question: an address and a name for each picture. */
export const shotsOf = (question) =>
  question.itemId === null ? question.pictures : [{ url: thumbnailOf(question.itemId), name: question.itemId }];

/** The request that asks it; `options` are fields of POST /search, those that are empty are left out. */
export function requestOf(question, options) {
  const asked = Object.entries(options).filter(([, value]) => value);
  if (question.itemId !== null) {
    const body = JSON.stringify({ item_id: question.itemId, ...Object.fromEntries(asked) });
    return { method: "POST", headers: { "Content-Type": "application/json" }, body };
  }
  const form = new FormData();
  for (const { file, name } of question.pictures) form.append("images", file, name);
  for (const [name, value] of asked) form.append(name, String(value));
  return { method: "POST", body: form };
}
