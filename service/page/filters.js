// Among which pictures is searched: labels chosen rank by rank, and a filter written by hand.

import { button, byId, make, show } from "./elements.js";
import { allOf, isOneOf } from "./filter-text.js";
import { labelField } from "./label-field.js";
import { state } from "./state.js";
import { plural } from "./words.js";

const MAX_RANKS = 6;

/** The filter as it stands now, empty for none. */
export function wantedFilter() {
  const chosen = [...state.narrowed].filter(([, labels]) => labels.size > 0);
  return allOf([byId("filter").value.trim(), ...chosen.map(([rank, labels]) => isOneOf(rank, [...labels]))]);
}

/** Fill the fields from what the catalogue has; `onchange` runs when a label was chosen or taken back. */
export function showFilterFields({ labels, ranks }, onchange, onproblem) {
  const named = Object.entries(labels).slice(0, MAX_RANKS);
  byId("facets").replaceChildren(...named.map(([rank, count]) => facet(rank, count, onchange, onproblem)));
  byId("ranks").textContent = ranks.length > 0 ? ` Ranks here: ${ranks.join(", ")}.` : "";
  showSummary();
}

function facet(rank, count, onchange, onproblem) {
  const chips = make("ul", { className: "chips", hidden: true, aria: { label: `Only these of ${rank}` } });
  const chosen = state.narrowed.get(rank) || new Set();
  state.narrowed.set(rank, chosen);

  function change(focusOn) {
    chips.replaceChildren(...[...chosen].map(chip));
    show(chips, chosen.size > 0);
    showSummary();
    if (focusOn) focusOn.focus();
    onchange();
  }
  function chip(label) {
    const remove = () => {
      chosen.delete(label);
      change(input);
    };
    return make("li", {}, button(label, remove, { className: "chip", aria: { label: `Take back ${rank} ${label}` } }));
  }
  const { element, input } = labelField({
    rank: () => rank,
    label: `Only these of ${rank}`,
    placeholder: `any of ${plural(count, "name")}`,
    onproblem,
    onchoose: (label) => {
      input.value = "";
      chosen.add(label);
      change(null);
    },
  });
  chips.replaceChildren(...[...chosen].map(chip)); // of before, where the fields are made anew
  show(chips, chosen.size > 0);
  const name = make("span", { className: "facet-name", textContent: rank, aria: { hidden: "true" } });
  return make("div", { className: "facet" }, name, element, chips);
}

/** What the closed filter says of itself. */
export function showSummary() {
  const names = [...state.narrowed.values()].flatMap((labels) => [...labels]);
  if (byId("filter").value.trim() !== "") names.push("a written filter");
  byId("filters-now").textContent = names.length > 0 ? names.join(", ") : "all pictures";
}
