// The answer to "what is this?": the name, how sure it is, whether it is none of these, and what would settle it.
//
// Nothing is made up: what the server did not calibrate is called a share of the vote, what it leaves out is not shown.

import { compareRivals } from "./compare.js";
import { button, byId, fill, make, show } from "./elements.js";
import { showProblem } from "./problem.js";
import { state } from "./state.js";
import { voteBars } from "./vote.js";
import { confidenceText, plural } from "./words.js";

function sharePhrase({ confidence, rank, calibrated, ranks }, matches) {
  const strong = make("strong", { textContent: confidenceText(confidence, calibrated) });
  const named = rank && rank !== "label" ? ` (${rank})` : "";
  if (calibrated) return [strong, ` confidence${named}, calibrated on this catalogue.`];
  const voters = ranks ? "the neighbours" : plural(matches.length, "neighbour");
  return [strong, ` of the vote of ${voters}${named}. A share, not a probability.`];
}

/**
 * Why the answer is not as fine or as sure as a person may wish, in one sentence; empty where nothing is to be said:
 * without a calibration, because nothing was measured, and of what is unknown, because that is said already.
 */
function doubt({ sure, unknown, floor, rank, ranks = [], calibrated }) {
  if (!calibrated || unknown) return "";
  const passes = typeof floor === "number" ? `passes ${confidenceText(floor, calibrated)}` : "is sure enough";
  if (sure === false) return `Not sure: no name ${passes}. This is the nearest guess.`;
  const finer = ranks.slice(0, Math.max(0, ranks.findIndex((one) => one.rank === rank)));
  if (!sure || finer.length === 0) return "";
  const measured = finer.filter((one) => one.calibrated).map((one) => one.rank);
  const why =
    measured.length > 0
      ? `No ${measured.join(" or ")} ${passes}`
      : `The confidence of ${finer.map((one) => one.rank).join(" and ")} is not calibrated`;
  return `${why}, so the answer stops at the ${rank}.`;
}

function kickerOf({ label, unknown, sure, calibrated }) {
  if (label === null) return "No name";
  if (unknown) return "The nearest name all the same";
  return calibrated && sure === false ? "Perhaps" : "The neighbours vote for";
}

/** What would settle an answer that is not sure, and the button for it if there is one. */
function helpFor({ help }) {
  if (!help) return [];
  const quiet = { className: "button quiet" };
  const offers = [];
  if (help.kind === "rivals") {
    const compare = () => compareRivals(help).catch(showProblem);
    offers.push(button(`Compare ${help.labels.join(" and ")}`, compare, quiet));
  }
  if (help.kind === "another_view" && state.question.itemId === null) {
    offers.push(button("Add another view", () => byId("more").click(), quiet));
  }
  return [make("p", { textContent: help.text }), ...offers];
}

function showUnknown({ unknown, unknown_score: score }) {
  show(byId("unknown"), unknown === true);
  byId("unknown-score").textContent =
    typeof score === "number" ? ` Its score for being unknown is ${score.toFixed(2)} of 1.` : "";
}

/** Show the answer to a search. */
export function showAnswer({ prediction, matches, note }) {
  const { label, confidence } = prediction;
  byId("kicker").textContent = kickerOf(prediction);
  byId("name").textContent = label === null ? "The nearest pictures have no label" : label;
  show(byId("share"), label !== null);
  if (label !== null) {
    fill(byId("fill"), confidence);
    byId("share-text").replaceChildren(...sharePhrase(prediction, matches));
  }
  const text = label === null ? "" : doubt(prediction);
  byId("doubt").textContent = text;
  show(byId("doubt"), text !== "");
  const help = helpFor(prediction);
  byId("help-text").replaceChildren(...help);
  show(byId("help-text"), help.length > 0);
  showUnknown(prediction);
  const bars = voteBars(prediction);
  byId("votes").replaceChildren(...bars);
  show(byId("votes"), bars.length > 0);
  show(byId("answer"), true);
  byId("note").textContent = note || "";
  show(byId("note"), Boolean(note));
}

export function hideAnswer() {
  show(byId("answer"), false);
  show(byId("note"), false);
}
