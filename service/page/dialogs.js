// The dialogs of the page: each closes by its button, by Escape, and by a press beside it.

import { byId } from "./elements.js";

/** Open a dialog over the page; `onclose` runs once, however it is closed. */
export function openDialog(id, onclose = () => {}) {
  const dialog = byId(id);
  if (!dialog.open) dialog.showModal();
  dialog.addEventListener("close", onclose, { once: true });
  return dialog;
}

export const closeDialog = (id) => byId(id).close();

export const dialogIsOpen = () => document.querySelector("dialog[open]") !== null;

export function listenToDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      // A press on the dialog itself, and on nothing in it, is one beside its content.
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
}
