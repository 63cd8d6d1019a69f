// The matches: a card for each with its picture, labels by rank and score, from which a person can go on.
//
// A card is the button that makes its picture the next question. Under it stand two more: why, and compare.

import { byId, fill, show } from "./elements.js";
import { showPicture } from "./server.js";
import { nameOf, plural } from "./words.js";

const INVITATION = byId("empty").textContent;

function cardFor(match, place, { label, rank }) {
  const fragment = byId("card").content.cloneNode(true);
  const coarser = Object.values(match.labels).slice(1);
  const name = nameOf(match);
  const card = fragment.querySelector(".card");
  card.dataset.id = match.id;
  card.title = match.id;
  card.setAttribute("aria-label", `${place}. ${name}, similarity ${match.score.toFixed(3)}. Search from this picture`);
  card.classList.toggle("match", label !== null && match.labels[rank] === label);
  fragment.querySelector(".frame").dataset.place = place;
  showPicture(fragment.querySelector("img"), match.thumbnail);
  fragment.querySelector(".label").textContent = name;
  fragment.querySelector(".group").textContent = coarser.join(" · ");
  fragment.querySelector(".group").title = coarser.join(" · ");
  fill(fragment.querySelector(".fill"), match.score);
  fragment.querySelector(".number").textContent = match.score.toFixed(3);
  const [why, compare] = fragment.querySelectorAll(".card-actions button");
  why.setAttribute("aria-label", `Why this match: ${place}. ${name}`);
  compare.setAttribute("aria-label", `Compare ${place}. ${name}`);
  return fragment;
}

/** Show what a search found; `filtered` tells why it may be nothing. */
export function showMatches({ matches, prediction, timing_ms: { total } }, filtered) {
  byId("cards").replaceChildren(...matches.map((match, row) => cardFor(match, row + 1, prediction)));
  show(byId("empty"), matches.length === 0);
  byId("empty").textContent = filtered
    ? "The catalogue has no other picture that the filter lets through."
    : "The catalogue has no other picture.";
  byId("results-title").textContent =
    total === undefined ? "Nearest pictures" : `Nearest pictures, in ${Math.round(total)}\u00a0ms`;
  const vote = prediction.label ? `, voted ${prediction.label}` : "";
  const unknown = prediction.unknown ? "Probably none of these. " : "";
  byId("status").textContent = `${unknown}${plural(matches.length, "match", "matches")}${vote}`;
}

/** Show no matches and, in their place, a text: that of the page when it is opened, if none is given. */
export function showInvitation(text = INVITATION) {
  byId("cards").replaceChildren();
  byId("results-title").textContent = "Nearest pictures";
  byId("empty").textContent = text;
  show(byId("empty"), true);
  byId("status").textContent = text === INVITATION ? "" : text;
}

/** The match of the card in which something was pressed, and the card; null where it was none of them. */
export function pressedCard(target, answer) {
  const place = target.closest("#cards > li");
  if (!place || !answer) return null;
  return { match: answer.matches[[...place.parentNode.children].indexOf(place)], place };
}
