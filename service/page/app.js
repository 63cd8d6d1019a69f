// The search page: pictures in, a name and its neighbours out. Here the parts are put together, and nothing else.

import { addressOf, isOfItem, itemHere, picturesHere } from "./address.js";
import { listenToCamera } from "./camera.js";
import { pressedCard } from "./cards.js";
import { compareChosen, forgetChosen, toggleChosen } from "./compare.js";
import { listenToDialogs } from "./dialogs.js";
import { byId, show } from "./elements.js";
import { offerFeedback } from "./feedback.js";
import { showFilterFields, showSummary } from "./filters.js";
import { clearHistory, openHistory } from "./history.js";
import { listenForPictures } from "./intake.js";
import { listenToKeys } from "./keys.js";
import { showProblem } from "./problem.js";
import { addFiles, askAgain, askFiles, askItem, listenToAnswers, search, tryFilter } from "./search.js";
import { ask, forgetKey, storeKey, storedKey } from "./server.js";
import { state } from "./state.js";
import { listenToWhy, openWhy } from "./why.js";
import { plural } from "./words.js";

const searchOrTry = () => (state.question ? search() : tryFilter());

/** Make an item the question, with an address of its own, so that Back, Forward and a bookmark work. */
function goToItem(id) {
  const address = addressOf(id);
  if (location.hash === address) askItem(id);
  else location.hash = address;
  window.scrollTo({ top: 0 });
  byId("results").focus({ preventScroll: true });
}

function followAddress() {
  if (!isOfItem()) {
    askAgain(picturesHere());
    return;
  }
  try {
    askItem(itemHere());
  } catch {
    showProblem(new Error("The address of this page names no item."));
  }
}

let waiting = false; // for what showFacts shows

async function showFacts() {
  waiting = true;
  try {
    const stats = await ask("/stats");
    state.stats = stats;
    byId("facts").textContent = `${plural(stats.catalogue.items, "picture")} · ${stats.model.name}`;
    showFilterFields(stats.catalogue, searchOrTry, showProblem);
    byId("note").textContent = stats.note || "";
    show(byId("note"), Boolean(stats.note));
    offerFeedback();
  } catch (error) {
    showProblem(error);
  } finally {
    waiting = false;
  }
}

function useKey(key) {
  storeKey(key);
  byId("key").value = "";
  show(byId("key-form"), false);
  show(byId("forget"), true);
  showProblem(null);
  showFacts();
  search();
}

function listenToForms() {
  byId("k").addEventListener("change", search);
  byId("filter-form").addEventListener("submit", (event) => {
    event.preventDefault();
    showSummary();
    searchOrTry();
  });
  byId("key").addEventListener("input", (event) => (event.target.value = event.target.value.trim()));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value);
  });
  show(byId("forget"), storedKey() !== null);
  byId("forget").addEventListener("click", () => {
    forgetKey();
    location.reload();
  });
  byId("retry").addEventListener("click", () => {
    showProblem(null);
    if (!state.stats) showFacts();
    searchOrTry();
  });
}

function listenToCards() {
  byId("cards").addEventListener("click", (event) => {
    const pressed = pressedCard(event.target, state.answer);
    const button = pressed && event.target.closest("button");
    if (!button) return;
    if (button.dataset.do === "why") openWhy(pressed.match, state.answer.matches.indexOf(pressed.match) + 1);
    else if (button.dataset.do === "compare") toggleChosen(pressed.match);
    else goToItem(pressed.match.id);
  });
  byId("tray-open").addEventListener("click", compareChosen);
  byId("tray-clear").addEventListener("click", forgetChosen);
}

function listenToHistory() {
  byId("history-open").addEventListener("click", () => openHistory(askFiles, goToItem));
  byId("history-clear").addEventListener("click", clearHistory);
}

// A wide screen has room for the filter; on a narrow one it stands behind its name.
byId("filters").open = matchMedia("(min-width: 52rem)").matches;
listenForPictures(askFiles, addFiles, showProblem);
listenToCamera(askFiles);
listenToDialogs();
listenToForms();
listenToCards();
listenToHistory();
listenToKeys();
listenToWhy();
listenToAnswers(() => state.stats || waiting || showFacts()); // the server was not ready when the page was opened
// Not by its address, which is that of the question.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("results").focus();
});
window.addEventListener("hashchange", followAddress);
showFacts();
if (isOfItem()) followAddress();
