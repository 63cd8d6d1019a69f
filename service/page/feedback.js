// Yes or no: a person confirms or corrects an answer, and the pictures of the question become items of the catalogue.
//
// Offered only where this server lets this page write (`may_write` of GET /stats). What was added can be taken back.

import { changesFor, isMade, isNew, isSure, makeChanges, takeBack } from "./changes.js";
import { button, byId, make, show } from "./elements.js";
import { isOneOf } from "./filter-text.js";
import { labelField } from "./label-field.js";
import { ask } from "./server.js";
import { state } from "./state.js";
import { plural } from "./words.js";

const ASKED_ITEMS = 20; // whose labels are looked at for those of the other ranks
const NO_RANKS = ["label"]; // what the one rank is called in a catalogue that names none

const changesOf = new WeakMap(); // a question -> what its yes or no changed, so that a second try goes on

const ranksNow = () => {
  const { ranks, labels } = state.stats.catalogue;
  const named = [...new Set([...ranks, ...Object.keys(labels)])];
  return named.length > 0 ? named : NO_RANKS;
};

/** Ask whether the answer on the page is right, if a yes or no could be kept. */
export function offerFeedback() {
  const { stats, question, answer } = state;
  const offered = Boolean(stats && stats.may_write && question && question.itemId === null && answer);
  show(byId("feedback"), offered);
  if (!offered) return;
  const { label, rank } = answer.prediction;
  const quiet = { className: "button quiet" };
  const yes = label === null ? [] : [button(`Yes, it is ${label}`, () => keep(rank, label), quiet)];
  const no = button(label === null ? "Name it" : "No, it is …", showCorrection, quiet);
  byId("feedback-ask").replaceChildren(...yes, no);
  const isAdded = state.added !== null && state.added.question === question;
  show(byId("feedback-ask"), !isAdded);
  show(byId("correction"), false);
  if (isAdded) sayAdded(state.added);
  else say("");
}

function say(text, ...actions) {
  byId("feedback-said").replaceChildren(text, ...actions);
}

function showCorrection() {
  const ranks = ranksNow();
  const options = ranks.map((rank) => make("option", { textContent: rank }));
  const select = make("select", { aria: { label: "Rank of the right name" } }, ...options);
  const { element, input } = labelField({
    rank: () => select.value,
    label: "The right name",
    placeholder: "the right name",
    free: true,
    onproblem: (error) => say(error.message),
    onchoose: (label) => {
      input.value = label;
      keep(select.value, label);
    },
  });
  const enter = () => input.value.trim() && keep(select.value, input.value.trim());
  const add = button("Add", enter, { className: "button" });
  byId("correction").replaceChildren(...(ranks.length > 1 ? [select] : []), element, add);
  show(byId("correction"), true);
  input.focus();
}

/** Put the good pictures of the question into the catalogue under a name. */
async function keep(rank, label) {
  const { question, answer } = state;
  show(byId("feedback-ask"), false);
  show(byId("correction"), false);
  say("Adding …");
  const here = () => question === state.question; // its answer may have been asked for anew meanwhile
  let changes = [];
  try {
    const labels = await labelsOf(rank, label, answer);
    changes = changesOf.get(question) || (await changesFor(goodPictures(question, answer)));
    changesOf.set(question, changes);
    await makeChanges(changes, labels);
    const added = { question, changes, labels };
    if (changes.some(isMade)) state.added = added;
    if (!here()) return;
    sayAdded(added);
    show(byId("feedback-ask"), state.added !== added); // where nothing was changed, the other answer is still open
  } catch (error) {
    if (!here()) return;
    const num = changes.filter(isSure).length;
    const done = num > 0 ? ` ${plural(num, "picture")} had been added.` : "";
    say(`Not added: ${error.message}${done} `, ...(num > 0 ? [undoOf(question)] : []));
    show(byId("feedback-ask"), true);
  }
}

function goodPictures(question, { errors = [] }) {
  const bad = new Set(errors.map(({ position }) => position));
  return question.pictures.filter((_, position) => !bad.has(position));
}

function sayAdded({ question, changes, labels }) {
  const named = Object.values(labels).join(", ");
  const made = changes.filter(isMade);
  const counted = [
    [made.filter(isNew), (count) => `Added ${count} to the catalogue as ${named}. `],
    [made.filter((one) => !isNew(one)), (count) => `Now ${named} in the catalogue: ${count}. `],
    [changes.filter((one) => !isMade(one)), (count) => `Already in the catalogue as ${named}: ${count}. `],
  ].filter(([some]) => some.length > 0);
  const sentences = counted.map(([some, sentence]) => sentence(plural(some.length, "picture")));
  say(sentences.join(""), ...(made.length > 0 ? [undoOf(question)] : []));
}

const undoOf = (question) => button("Undo", () => undo(question), { className: "link" });

async function undo(question) {
  say("Taking back …");
  try {
    await takeBack(changesOf.get(question));
    changesOf.delete(question);
    state.added = null;
    if (question !== state.question) return;
    offerFeedback();
    say("Taken back.");
  } catch (error) {
    if (question === state.question) say(`Not taken back: ${error.message} `, undoOf(question));
  }
}

/**
 * The labels of all ranks for a name: that rank and the coarser ones, as most of the items of that name have them; of
 * the matches first, since a name may stand under two. A new name has none but itself.
 */
async function labelsOf(rank, label, { matches }) {
  const near = matches.filter(({ labels }) => labels[rank] === label);
  const items = near.length > 0 ? near : await itemsOf(rank, label);
  const votes = new Map();
  for (const { labels } of items) {
    const ranks = Object.entries(labels); // finest first
    const kept = JSON.stringify(ranks.slice(ranks.findIndex(([name]) => name === rank)));
    votes.set(kept, (votes.get(kept) || 0) + 1);
  }
  const [most] = [...votes].sort(([, one], [, other]) => other - one);
  return most ? Object.fromEntries(JSON.parse(most[0])) : { [rank]: label };
}

async function itemsOf(rank, label) {
  if (state.stats.catalogue.labels[rank] === undefined) return []; // a filter by a rank that no item has is refused
  const filter = encodeURIComponent(isOneOf(rank, [label]));
  return (await ask(`/items?limit=${ASKED_ITEMS}&filter=${filter}`)).items;
}
