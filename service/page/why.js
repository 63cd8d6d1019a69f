// Why this match: the pairs of patches that agree, numbered over both pictures, and how much of it each settles.
//
// It is asked for only when a person wants to know: an explanation costs the server more than an answer.

import { addressOf } from "./address.js";
import { closeDialog, openDialog } from "./dialogs.js";
import { button, byId, fill, make, show } from "./elements.js";
import { isOneOf } from "./filter-text.js";
import { pictureWithMarks } from "./overlay.js";
import { shotsOf } from "./question.js";
import { askForReasons } from "./search.js";
import { thumbnailOf } from "./server.js";
import { state } from "./state.js";
import { nameOf, shareText } from "./words.js";

const MAX_PAIRS = 8; // as many as there are colours
const explained = new WeakMap(); // an answer -> id of a match -> what explains it, null where nothing does

let turn = 0;

/** Open the dialog for a match of the answer on the page, and fill it as the reasons come. */
export async function openWhy(match, place) {
  const mine = ++turn;
  const { question, answer } = state;
  byId("why-title").textContent = `Why ${nameOf(match)}?`;
  byId("why-scores").textContent = scoresOf(match, place);
  byId("why-next").onclick = () => {
    closeDialog("why");
    location.hash = addressOf(match.id);
  };
  draw(question, match, null);
  say("Asking what decided …");
  openDialog("why", () => (turn += 1));
  try {
    const reason = await reasonFor(question, answer, match);
    if (mine !== turn) return;
    draw(question, match, reason);
    if (reason !== null) byId("why-scores").textContent = scoresOf(reason.match, place);
    say(reason === null ? "The server has no explanation of this match." : "");
  } catch (error) {
    if (mine === turn) say(`There is no explanation: ${error.message}`);
  }
}

function say(text) {
  byId("why-status").textContent = text;
  show(byId("why-status"), text !== "");
}

function scoresOf({ score, global_score: whole, local_score: local }, place) {
  const parts = [`Match ${place}`, `similarity ${score.toFixed(3)}`];
  if (typeof whole === "number") parts.push(`whole picture ${whole.toFixed(3)}`);
  if (typeof local === "number") parts.push(`patches ${local.toFixed(3)}`);
  return parts.join(" · ");
}

/** The explanation of a match. The server explains the first few of an answer; for others it is asked of that one. */
async function reasonFor(question, answer, match) {
  if (!explained.has(answer)) explained.set(answer, new Map());
  const known = explained.get(answer);
  const learn = ({ matches, query = [] }) => {
    for (const one of matches) if (one.explanation) known.set(one.id, { ...one.explanation, query, match: one });
  };
  if (known.size === 0) learn(await askForReasons(question));
  if (!known.has(match.id)) learn(await askForReasons(question, isOneOf("id", [match.id])));
  if (!known.has(match.id)) known.set(match.id, null);
  return known.get(match.id);
}

function draw(question, match, reason) {
  const pairs = (reason ? reason.pairs : []).slice(0, MAX_PAIRS).map((pair, row) => ({ ...pair, number: row + 1 }));
  const shots = shotsOf(question);
  const ofPicture = (position) => pairs.filter(({ query }) => query.picture === position);
  // Of several pictures those that decided; all where that is not known.
  const decided = (place) => pairs.length === 0 || ofPicture(place).length > 0;
  const places = shots.map((_, position) => position).filter(decided);
  byId("why-query").replaceChildren(
    ...places.map((position) =>
      pictureWithMarks(
        shots[position].url,
        `Your picture ${shots[position].name}`,
        ofPicture(position).map(({ number, query: { box } }) => ({ number, box })),
        reason && attentionOf(reason, position, pairs),
      ),
    ),
  );
  byId("why-match").replaceChildren(
    pictureWithMarks(
      thumbnailOf(match.id),
      nameOf(match),
      pairs.map(({ number, item: { box } }) => ({ number, box })),
      reason && reason.item_attention,
    ),
  );
  byId("why-pairs").replaceChildren(...pairs.map(pairRow));
  show(byId("why-legend"), pairs.length > 0);
  show(byId("heat-switch"), Boolean(reason && (reason.query_attention || reason.item_attention)));
  point(null);
}

/** The attention over one of the query's pictures: its own if the answer has it, else that of the strongest pair's. */
function attentionOf({ query, query_attention: strongest }, position, [first]) {
  const own = query.find((one) => one.position === position);
  if (own && own.attention) return own.attention;
  return !first || first.query.picture === position ? strongest : null;
}

function pairRow({ number, share }) {
  const bar = make("span", { className: "fill" });
  fill(bar, share);
  const row = button("", () => {}, { className: "pair" });
  row.append(
    make("span", { className: `badge pair-${number}`, textContent: String(number) }),
    make("span", { className: "track", aria: { hidden: "true" } }, bar),
    make("span", { className: "pair-share", textContent: `${shareText(share)} of what the regions settle` }),
  );
  for (const event of ["pointerenter", "focus"]) row.addEventListener(event, () => point(number));
  for (const event of ["pointerleave", "blur"]) row.addEventListener(event, () => point(null));
  return make("li", {}, row);
}

/** Make one pair stand out on both pictures, null for all alike. */
function point(number) {
  for (const mark of byId("why").querySelectorAll(".mark")) {
    mark.classList.toggle("dim", number !== null && mark.dataset.pair !== String(number));
  }
}

export function listenToWhy() {
  byId("heat").addEventListener("change", (event) => byId("why").classList.toggle("with-heat", event.target.checked));
}
