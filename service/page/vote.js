// The vote: for each rank, the finest first, a bar for each label that got a share of it.

import { fill, make } from "./elements.js";
import { confidenceText } from "./words.js";

const HOW_TO_CALIBRATE =
  "These are shares of the vote, not probabilities. `lodisc index calibrate` makes them probabilities, where a rank has " +
  "40 pictures or more whose label another picture has too.";
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

function headOf(rank, calibrated) {
  const note = make("span", { className: "vote-note", textContent: "not calibrated", title: HOW_TO_CALIBRATE });
  return make("h3", {}, rank, ...(calibrated ? [] : [" ", note]));
}

/** The bars of a prediction as a list of elements, one a rank; none where the server names no ranks. */
export function voteBars({ ranks = [], rank: answered, floor = null }) {
  return ranks
    .filter(({ labels }) => labels.length > 0)
    .map(({ rank, labels, calibrated = false }) => {
      const shown = labels.slice(0, rank === answered ? labels.length : SHOWN);
      const list = make("ul", {}, ...shown.map((one) => barOf(one, calibrated)));
      const group = make("div", { className: "vote-rank" }, headOf(rank, calibrated), list);
      group.classList.toggle("answered", rank === answered);
      if (calibrated && floor !== null) group.style.setProperty("--floor", `${100 * floor}%`);
      group.classList.toggle("with-floor", calibrated && floor !== null);
      return group;
    });
}
