// What an answer looks like: the query's own pictures, the vote of the neighbours, and a card for each match.

import { byId, show } from "./elements.js";
import { showPicture } from "./server.js";

const INVITATION = byId("empty").textContent;

const percent = (share) => `${Math.round(share * 100)} %`;
const fill = (bar, share) => bar.style.setProperty("width", `${100 * Math.min(1, Math.max(0, share))}%`);
export const plural = (count, noun, nouns = `${noun}s`) => `${count.toLocaleString("en")} ${count === 1 ? noun : nouns}`;

/** The query's own pictures, as previews; `failed` maps a position to what is wrong with it. */
export function showShots(shots, failed = new Map()) {
  const strip = byId("shots");
  strip.replaceChildren(
    ...shots.map(({ url, name }, position) => {
      const figure = document.createElement("figure");
      const image = document.createElement("img");
      const caption = document.createElement("figcaption");
      showPicture(image, url);
      image.alt = `Your picture ${name}`;
      caption.textContent = failed.has(position) ? `${name}: ${failed.get(position)}` : name;
      figure.classList.toggle("bad", failed.has(position));
      figure.append(image, caption);
      return figure;
    }),
  );
  show(strip, shots.length > 0);
  byId("drop").classList.toggle("filled", shots.length > 0);
  byId("choose").textContent = shots.length > 0 ? "Choose another picture" : "Choose a picture";
}

function showVote(answer) {
  const { label, rank, confidence } = answer.prediction;
  const neighbours = plural(answer.matches.length, "neighbour");
  byId("kicker").textContent = label === null ? "No name" : "The neighbours vote for";
  byId("name").textContent = label === null ? "The nearest pictures have no label" : label;
  show(byId("share"), label !== null);
  if (label !== null) {
    fill(byId("fill"), confidence);
    const text = byId("share-text");
    const strong = document.createElement("strong");
    strong.textContent = percent(confidence);
    const named = rank && rank !== "label" ? ` (${rank})` : "";
    text.replaceChildren(strong, ` of the vote of ${neighbours}${named}. A share, not a probability.`);
  }
  show(byId("answer"), true);
  byId("note").textContent = answer.note || "";
  show(byId("note"), Boolean(answer.note));
}

function cardFor(match, place, voted) {
  const fragment = byId("card").content.cloneNode(true);
  const [finest, ...coarser] = Object.values(match.labels);
  const name = finest || match.id;
  const button = fragment.querySelector("button");
  button.dataset.id = match.id;
  button.title = match.id;
  button.setAttribute("aria-label", `${place}. ${name}, similarity ${match.score.toFixed(3)}. Search from this picture`);
  button.classList.toggle("match", voted !== null && finest === voted);
  fragment.querySelector(".frame").dataset.place = place;
  showPicture(fragment.querySelector("img"), match.thumbnail);
  fragment.querySelector(".label").textContent = name;
  fragment.querySelector(".group").textContent = coarser.join(" · ");
  fill(fragment.querySelector(".fill"), match.score);
  fragment.querySelector(".number").textContent = match.score.toFixed(3);
  return fragment;
}

function showMatches({ matches, prediction, timing_ms: { total } }, filtered) {
  byId("cards").replaceChildren(...matches.map((match, row) => cardFor(match, row + 1, prediction.label)));
  show(byId("empty"), matches.length === 0);
  byId("empty").textContent = filtered
    ? "The catalogue has no other picture that the filter lets through."
    : "The catalogue has no other picture.";
  byId("results-title").textContent =
    total === undefined ? "Nearest pictures" : `Nearest pictures, in ${Math.round(total)}\u00a0ms`;
  const vote = prediction.label ? `, voted ${prediction.label}` : "";
  byId("status").textContent = `${plural(matches.length, "match", "matches")}${vote}`;
}

/** Show what a search found; `filtered` tells why it may be nothing. */
export function showAnswer(answer, filtered) {
  showVote(answer);
  showMatches(answer, filtered);
}

/** Show no answer and, in its place, a text: that of the page when it is opened, if none is given. */
export function showInvitation(text = INVITATION) {
  byId("cards").replaceChildren();
  byId("results-title").textContent = "Nearest pictures";
  byId("empty").textContent = text;
  show(byId("empty"), true);
  byId("status").textContent = text === INVITATION ? "" : text;
}

/** The same after a search that failed: nothing of the search before it stays. */
export function showNoAnswer() {
  show(byId("answer"), false);
  show(byId("note"), false);
  showInvitation();
}
