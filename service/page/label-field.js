// A field in which a label is chosen among those of a rank that begin with what is typed: an ARIA combobox.
//
// The server is asked for a few labels at a time, so a catalogue of a hundred thousand is as quick as one of ten.

import { make, show } from "./elements.js";
import { ask } from "./server.js";
import { plural } from "./words.js";

const SHOWN = 8;
const PAUSE_MS = 120; // after the last key, so that a word is one question

let fields = 0;

const optionOf = ({ label, items }, id) =>
  make(
    "li",
    { id, role: "option", data: { label }, aria: { selected: "false" } },
    make("span", { textContent: label }),
    make("span", { className: "count", textContent: items.toLocaleString("en"), title: plural(items, "picture") }),
  );

const remark = (textContent) => make("li", { className: "rest", role: "presentation", textContent });

/**
 * @param {{rank: () => string, label: string, placeholder: string, onchoose: (label: string) => void,
 *   onproblem: (error: Error) => void, free?: boolean}} options `rank` is asked each time; `free` lets a name be
 *   entered that no item has.
 * @returns {{element: HTMLElement, input: HTMLInputElement}} the field with its list, and where is typed.
 */
export function labelField({ rank, label, placeholder, onchoose, onproblem, free = false }) {
  const id = `labels-${++fields}`;
  const list = make("ul", { id, className: "options", role: "listbox", hidden: true, aria: { label } });
  const input = make("input", {
    id: `${id}-field`, type: "text", autocomplete: "off", spellcheck: false, placeholder, role: "combobox",
    aria: { label, autocomplete: "list", expanded: "false", controls: id },
  });
  const element = make("div", { className: "label-field" }, input, list);
  let timer = null;
  let turn = 0;
  let active = -1;

  const options = () => [...list.querySelectorAll("[role=option]")];

  function close() {
    clearTimeout(timer);
    turn += 1;
    show(list, false);
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function point(to) {
    const all = options();
    active = (to + all.length) % all.length;
    all.forEach((option, place) => option.setAttribute("aria-selected", String(place === active)));
    input.setAttribute("aria-activedescendant", all[active].id);
    all[active].scrollIntoView({ block: "nearest" });
  }

  function choose(chosen) {
    close();
    onchoose(chosen);
  }

  async function fetchOptions() {
    clearTimeout(timer); // this question has all that was typed
    const mine = ++turn;
    const typed = input.value.trim();
    const query = new URLSearchParams({ rank: rank(), prefix: typed, limit: String(SHOWN) });
    try {
      const { labels, total } = await ask(`/labels?${query}`);
      if (mine === turn) open(labels, total, typed);
    } catch (error) {
      if (mine === turn) onproblem(error);
    }
  }

  function open(labels, total, typed) {
    const rows = labels.map((one, place) => optionOf(one, `${id}-${place}`));
    const rest = total - labels.length;
    if (rest > 0) rows.push(remark(`and ${rest.toLocaleString("en")} more: type on`));
    if (total === 0) rows.push(remark(free && typed ? "A new name: press Enter" : "No label begins so"));
    list.replaceChildren(...rows);
    active = -1;
    input.removeAttribute("aria-activedescendant");
    show(list, true);
    input.setAttribute("aria-expanded", "true");
  }

  input.addEventListener("click", fetchOptions); // and not on focus: who only passes by with Tab wants no list
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(fetchOptions, PAUSE_MS);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const all = options();
    const open = !list.hidden && all.length > 0;
    if (event.key === "ArrowDown" && !open) fetchOptions();
    else if (event.key === "ArrowDown") point(active + 1);
    else if (event.key === "ArrowUp" && open) point(active < 0 ? -1 : active - 1);
    else if (event.key === "Escape" && !list.hidden) close();
    else if (event.key === "Enter" && open && active >= 0) choose(all[active].dataset.label);
    else if (event.key === "Enter") enter();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  // Not a click: the field would lose the focus, and with it the list, before that.
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const option = event.target.closest("[role=option]");
    if (option) choose(option.dataset.label);
  });

  /** Enter without a choice: what is typed, if it is a label, or may be a new one. */
  async function enter() {
    const typed = input.value.trim();
    if (typed === "") return;
    if (free) {
      choose(typed);
      return;
    }
    await fetchOptions();
    const same = options().find((option) => option.dataset.label.toLowerCase() === typed.toLowerCase());
    if (same) choose(same.dataset.label);
  }

  return { element, input };
}
