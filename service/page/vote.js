// The vote: for each rank, the finest first, a bar for each label that got a share of it.

import { fill, make } from "./elements.js";
import { confidenceText } from "./words.js";

const SHOWN = 3; // of a rank; of the rank that is the answer, all that the server names

/** `within` is what stands above a label whose name stands under several. */
function barOf({ label, within, confidence }, calibrated) {
  const name = within ? `${label} (${within})` : label;
  const bar = make("span", { className: "fill" });
  fill(bar, confidence);
  return make(
    "li",
    {},
    make("span", { className: "vote-label", textContent: name, title: name }),
    make("span", { className: "vote-number", textContent: confidenceText(confidence, calibrated) }),
    make("span", { className: "track", aria: { hidden: "true" } }, bar),
  );
}

/** The bars of a prediction as a list of elements, one a rank; none where the server names no ranks. */
export function voteBars({ ranks = [], rank: answered, calibrated = false, floor = null }) {
  return ranks
    .filter(({ labels }) => labels.length > 0)
    .map(({ rank, labels }) => {
      const shown = labels.slice(0, rank === answered ? labels.length : SHOWN);
      const list = make("ul", {}, ...shown.map((one) => barOf(one, calibrated)));
      const group = make("div", { className: "vote-rank" }, make("h3", { textContent: rank }), list);
      group.classList.toggle("answered", rank === answered);
      if (calibrated && floor !== null) group.style.setProperty("--floor", `${100 * floor}%`);
      group.classList.toggle("with-floor", calibrated && floor !== null);
      return group;
    });
}
