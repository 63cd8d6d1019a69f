// Asking: a question goes to the server with the filter as it stands, and its answer is shown if none came after it.

import { keepHere } from "./address.js";
import { hideAnswer, showAnswer } from "./answer.js";
import { showInvitation, showMatches } from "./cards.js";
import { forgetChosen, keepChosen } from "./compare.js";
import { byId } from "./elements.js";
import { offerFeedback } from "./feedback.js";
import { wantedFilter } from "./filters.js";
import { remember } from "./history.js";
import { showProblem } from "./problem.js";
import { ofFiles, ofItem, requestOf, shotsOf, withMore, without } from "./question.js";
import { ask } from "./server.js";
import { showShots } from "./shots.js";
import { state } from "./state.js";

let onanswer = () => {};

/** `listener` runs after each answer that is shown. */
export function listenToAnswers(listener) {
  onanswer = listener;
}

let asking = new AbortController(); // what is asked now

/** Begin anew: what was asked before is no longer waited for. */
function begin() {
  asking.abort();
  asking = new AbortController();
  return asking.signal;
}

const numWanted = () => byId("k").value;

/** Ask the question of the page again, with the filter as it is now. */
export async function search() {
  const { question } = state;
  if (!question) return;
  const signal = begin();
  const filter = wantedFilter();
  const remove = question.itemId === null ? removePicture : null;
  byId("results").setAttribute("aria-busy", "true");
  showProblem(null);
  showShots(shotsOf(question), { remove });
  try {
    const answer = await ask(`/search?k=${numWanted()}`, { ...requestOf(question, { filter }), signal });
    if (signal.aborted) return;
    state.answer = answer;
    showShots(shotsOf(question), { remove, failed: failuresOf(answer), weights: weightsOf(answer) });
    showAnswer(answer);
    showMatches(answer, filter !== "");
    keepChosen(answer.matches);
    offerFeedback();
    remember(question, answer);
    onanswer();
  } catch (error) {
    if (signal.aborted) return;
    state.answer = null;
    showProblem(error);
    const failed = new Map((error.pictures || []).map(({ position, message }) => [position, message]));
    showShots(shotsOf(question), { remove, failed });
    showNothing();
  } finally {
    if (!signal.aborted) byId("results").removeAttribute("aria-busy");
  }
}

const failuresOf = ({ errors = [] }) => new Map(errors.map(({ position, error }) => [position, error.message]));
const weightsOf = ({ query = [] }) => new Map(query.map(({ position, weight }) => [position, weight]));

/** Ask the same question for matches that are explained, `only` for one item if that is given. */
export function askForReasons(question, only = "") {
  const options = { filter: only || wantedFilter(), explain: true };
  return ask(`/search?k=${only ? 1 : numWanted()}`, requestOf(question, options));
}

function pose(question) {
  state.question = question;
  forgetChosen();
  search();
}

function posePictures(question) {
  keepHere(question);
  pose(question);
}

/** Ask what some pictures show, all of one thing. */
export function askFiles(files) {
  if (files.length > 0) posePictures(ofFiles(files));
}

/** Ask again with further pictures of the same thing. */
export function addFiles(files) {
  if (files.length > 0) posePictures(withMore(state.question, files));
}

export const askItem = (id) => pose(ofItem(id));

/** Ask a question of before; null is none. */
export function askAgain(question) {
  if (question !== null) pose(question);
  else if (state.question !== null) askNothing();
}

/** Ask again without one of the pictures; without the last, there is no question. */
export function removePicture(position) {
  const rest = without(state.question, position);
  if (rest !== null) {
    posePictures(rest);
    return;
  }
  keepHere(null);
  askNothing();
  byId("files").focus();
}

function askNothing() {
  begin();
  Object.assign(state, { question: null, answer: null });
  forgetChosen();
  byId("results").removeAttribute("aria-busy");
  showProblem(null);
  showShots([]);
  showNothing();
}

/** Without a question a filter is only tried, so that a mistake in it shows at once. */
export async function tryFilter() {
  const signal = begin();
  const filter = wantedFilter();
  showProblem(null);
  showInvitation();
  if (filter === "") return;
  try {
    const { items } = await ask(`/items?limit=1&filter=${encodeURIComponent(filter)}`, { signal });
    if (signal.aborted) return;
    showInvitation(items.length > 0 ? "The filter is set: choose a picture." : "The filter lets no picture through.");
  } catch (error) {
    if (!signal.aborted) showProblem(error);
  }
}

/** Nothing of the search before it stays. */
function showNothing() {
  hideAnswer();
  showInvitation();
}
