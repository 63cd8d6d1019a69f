// The address of the page: that of an item names it, under any other stands the question of pictures asked there.
//
// A browser keeps no files for a page: after a reload nothing is known of the pictures that were asked before it.

import { letGo } from "./question.js";

const ITEM = "#item=";

const asked = new Map(); // an entry of the browser's history -> its question of pictures

export const addressOf = (itemId) => `${ITEM}${encodeURIComponent(itemId)}`;

export const isOfItem = () => location.hash.startsWith(ITEM);

/** The item that the address names; throws where it is broken. */
export const itemHere = () => decodeURIComponent(location.hash.slice(ITEM.length));

/** The question of pictures that was asked here, null for none. */
export const picturesHere = () => asked.get(entryHere()) ?? null;

/** Keep a question of pictures, null for none, as that of this address, which is left where it is that of an item. */
export function keepHere(question) {
  const entry = { entry: Date.now() }; // a number that none before a reload has either
  if (location.hash) history.pushState(entry, "", location.pathname);
  else if (entryHere() === undefined) history.replaceState(entry, "");
  letGo(picturesHere(), question);
  asked.set(entryHere(), question);
}

const entryHere = () => history.state?.entry;
