// Short cuts of one key, listed by "?". They can be switched off, for who speaks to the machine or has a shaking hand.

import { dialogIsOpen, openDialog } from "./dialogs.js";
import { byId, make } from "./elements.js";
import { ofThisBrowser } from "./storage.js";

const NAME = "lodisc-shortcuts";
const isOn = () => ofThisBrowser.get(NAME) !== "off";
const TYPED_INTO = "input:not([type=file]):not([type=checkbox]), select, textarea";

const cards = () => [...document.querySelectorAll("#cards .card")];
const focusedPlace = () => document.activeElement.closest("#cards > li");

/** Go along the cards; from elsewhere to the first. */
function step(by) {
  const all = cards();
  if (all.length === 0) return;
  const place = focusedPlace();
  const from = place ? all.indexOf(place.querySelector(".card")) : -1;
  all[from < 0 ? 0 : Math.min(all.length - 1, Math.max(0, from + by))].focus();
}

/** Press a button of the card that has the focus, or of the first. */
function press(what) {
  const place = focusedPlace() || document.querySelector("#cards > li");
  if (place) place.querySelector(`[data-do=${what}]`).click();
}

const SHORTCUTS = [
  ["o", "Choose a picture", () => byId("files").click()],
  ["a", "Add another view of the same thing", () => !byId("more-tile").hidden && byId("more").click()],
  ["c", "Take a photo", () => !byId("camera").hidden && byId("camera").click()],
  ["/", "Go to the filter", () => ((byId("filters").open = true), byId("filter").focus())],
  ["j", "Next match", () => step(1)],
  ["k", "Match before", () => step(-1)],
  ["w", "Why this match", () => press("why")],
  ["x", "Pick this match for comparison", () => press("compare")],
  ["v", "Compare the two that are picked", () => byId("tray-open").click()],
  ["h", "What was asked lately", () => byId("history-open").click()],
  ["t", "Light or dark", () => byId("theme").click()],
  ["?", "This list", () => openKeys()],
];

export function openKeys() {
  openDialog("keys");
}

export function listenToKeys() {
  const listed = [...SHORTCUTS, ["Esc", "Close what is open"]];
  byId("keys-list").replaceChildren(
    ...listed.flatMap(([key, text]) => [
      make("dt", {}, make("kbd", { textContent: key })),
      make("dd", { textContent: text }),
    ]),
  );
  byId("keys-on").checked = isOn();
  byId("keys-on").addEventListener("change", ({ target }) => ofThisBrowser.set(NAME, target.checked ? "on" : "off"));
  byId("keys-open").addEventListener("click", openKeys);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !isOn()) return;
    if (dialogIsOpen() || event.target.closest(TYPED_INTO)) return;
    const shortcut = SHORTCUTS.find(([key]) => key === event.key);
    if (!shortcut) return;
    event.preventDefault();
    shortcut[2]();
  });
}
