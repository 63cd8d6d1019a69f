// What a yes or no changes in the catalogue: pictures become items, or get other labels, and the way back.
//
// A change knows what was there before it, so it can be tried again and taken back however far it came.

import { contentId } from "./content-id.js";
import { isOneOf } from "./filter-text.js";
import { LOST, ask, pathOf } from "./server.js";

const sorted = (labels) => JSON.stringify(Object.entries(labels).sort());
const isSame = (labels, others) => Boolean(labels && others) && sorted(labels) === sorted(others);

export const isMade = ({ was, now }) => was !== now; // or may be made
export const isSure = (change) => isMade(change) && change.now !== undefined;
export const isNew = ({ was }) => was === null;

/**
 * The changes that pictures may become, none made yet: one an item, so equal pictures are one. `was` are the labels
 * that the catalogue has, null for none; `now` those that it has since, undefined where that is not known.
 */
export async function changesFor(pictures) {
  const changes = new Map();
  for (const { file, name } of pictures) {
    const id = `page/${await contentId(file)}`;
    changes.set(id, { id, file, name, metadata: {}, was: null, now: null });
  }
  const filter = encodeURIComponent(isOneOf("id", [...changes.keys()]));
  const { items } = await ask(`/items?limit=${changes.size}&filter=${filter}`);
  for (const { id, labels, metadata } of items) Object.assign(changes.get(id), { metadata, was: labels, now: labels });
  return [...changes.values()];
}

/** Give the items these labels, and make those that are not there. */
export async function makeChanges(changes, labels) {
  for (const change of changes.filter(({ now }) => !isSame(now, labels))) {
    try {
      await put(change, labels);
      change.now = labels;
    } catch (error) {
      if (error.code === LOST) change.now = undefined; // it may have arrived all the same
      throw error;
    }
  }
}

/** Take back what was made; where that fails, a second try goes on. */
export async function takeBack(changes) {
  for (const change of changes.filter(isMade)) {
    if (isNew(change)) await remove(change);
    else await put(change, change.was);
    change.now = change.was;
  }
}

function put({ id, file, name, metadata }, labels) {
  const form = new FormData();
  form.append("image", file, name);
  form.append("labels", JSON.stringify(labels));
  form.append("metadata", JSON.stringify(metadata));
  return ask(pathOf(id), { method: "PUT", body: form });
}

/** What somebody else removed meanwhile is gone as well. */
async function remove({ id }) {
  try {
    await ask(pathOf(id), { method: "DELETE" });
  } catch (error) {
    if (error.code !== "not_found") throw error;
  }
}
