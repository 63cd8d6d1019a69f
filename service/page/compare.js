// Side by side: the question beside two matches that a person picks, or beside two names that are hard to tell apart.

import { openDialog } from "./dialogs.js";
import { byId, make, show } from "./elements.js";
import { isOneOf } from "./filter-text.js";
import { shotsOf } from "./question.js";
import { ask, showPicture, thumbnailOf } from "./server.js";
import { state } from "./state.js";
import { confidenceText, nameOf } from "./words.js";

const QUERY_PICTURES = 3;
const RIVAL_PICTURES = 4;

/** Pick a match for the comparison, or let go of it; of three the one that was picked first gives way. */
export function toggleChosen(match) {
  const rest = state.chosen.filter((one) => one.id !== match.id);
  state.chosen = rest.length < state.chosen.length ? rest : [...rest.slice(-1), match];
  showChosen();
}

export function forgetChosen() {
  state.chosen = [];
  showChosen();
}

/** Keep what is picked as far as the new matches have it. */
export function keepChosen(matches) {
  const picked = new Set(state.chosen.map(({ id }) => id));
  state.chosen = matches.filter(({ id }) => picked.has(id));
  showChosen();
}

function showChosen() {
  const ids = new Set(state.chosen.map(({ id }) => id));
  for (const place of byId("cards").children) {
    const picked = ids.has(place.querySelector(".card").dataset.id);
    place.classList.toggle("chosen", picked);
    place.querySelector("[data-do=compare]").setAttribute("aria-pressed", String(picked));
  }
  const [first, second] = state.chosen;
  byId("tray-text").textContent = second
    ? `${nameOf(first)} and ${nameOf(second)}`
    : first ? `${nameOf(first)}: choose one more` : "";
  byId("tray-open").disabled = !second;
  show(byId("tray"), state.chosen.length > 0);
}

/** The two matches that were picked, beside the question. */
export function compareChosen() {
  if (state.chosen.length < 2) return;
  const [first, second] = state.chosen;
  const ranks = [...new Set([...Object.keys(first.labels), ...Object.keys(second.labels)])];
  const columns = state.chosen.map((match) => {
    const other = match === first ? second : first;
    const facts = ranks.map((rank) => [rank, match.labels[rank] || "none", match.labels[rank] !== other.labels[rank]]);
    facts.push(["similarity", match.score.toFixed(3), false]);
    for (const [name, value] of Object.entries(match.metadata)) {
      facts.push([name, String(value), other.metadata[name] !== value]);
    }
    return column(nameOf(match), [thumbnailOf(match.id)], facts);
  });
  openComparison("Two matches side by side", "", columns);
}

/** Two rival names of an answer that is not sure, each with some of its pictures; `help` as the server gives it. */
export async function compareRivals(help) {
  const { answer } = state;
  const found = await Promise.all(help.labels.map((label) => picturesOf(help, label)));
  if (answer !== state.answer) return;
  const { ranks = [] } = answer.prediction;
  const { labels: votes, calibrated } = ranks.find(({ rank }) => rank === help.rank) || { labels: [] };
  const columns = help.labels.map((label, row) => {
    const vote = votes.find((one) => one.label === label);
    const facts = [[help.rank, label, true]];
    const what = calibrated ? "confidence" : "share of the vote";
    if (vote) facts.push([what, confidenceText(vote.confidence, calibrated), false]);
    return column(label, found[row].map(thumbnailOf), facts);
  });
  openComparison("Which of the two?", help.text, columns);
}

/** Ids of some items of a label: first the one that the server picked. */
async function picturesOf({ rank, items = {} }, label) {
  const filter = encodeURIComponent(isOneOf(rank, [label]));
  const listed = await ask(`/items?limit=${RIVAL_PICTURES}&filter=${filter}`);
  const ids = [items[label], ...listed.items.map(({ id }) => id)].filter((id) => typeof id === "string");
  return [...new Set(ids)].slice(0, RIVAL_PICTURES);
}

function openComparison(title, text, columns) {
  const bad = new Set(((state.answer && state.answer.errors) || []).map(({ position }) => position));
  const shots = shotsOf(state.question).filter((_, position) => !bad.has(position));
  const mine = column("Your picture", shots.slice(0, QUERY_PICTURES).map(({ url }) => url), []);
  byId("compare-title").textContent = title;
  byId("compare-text").textContent = text;
  show(byId("compare-text"), Boolean(text));
  byId("compare-columns").replaceChildren(mine, ...columns);
  openDialog("compare");
}

function column(title, paths, facts) {
  const images = paths.map((path, row) => {
    const image = make("img", { alt: row === 0 ? title : `${title}, picture ${row + 1}`, decoding: "async" });
    showPicture(image, path);
    return image;
  });
  const rows = facts.flatMap(([name, value, differs]) => [
    make("dt", { textContent: name }),
    make("dd", { textContent: value, className: differs ? "differs" : "" }),
  ]);
  return make(
    "section",
    { className: "column" },
    make("h3", { textContent: title }),
    make("div", { className: paths.length > 1 ? "pictures several" : "pictures" }, ...images),
    ...(rows.length > 0 ? [make("dl", {}, ...rows)] : []),
  );
}
