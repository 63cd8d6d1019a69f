// The search page: a picture in, ranked neighbours out. Here is what a person can do, and what follows from it.

import { plural, showAnswer, showInvitation, showNoAnswer, showShots } from "./answer.js";
import { byId, show } from "./elements.js";
import { ask, asksForKey, forgetKey, storeKey, storedKey, thumbnailOf } from "./server.js";

const state = { query: null, urls: [], turn: 0 };
const writtenFilter = () => byId("filter").value.trim();

/** Say what is wrong, next to the field it is about; null takes back what was said before. */
function showProblem(error) {
  const refused = Boolean(error) && error.code === "invalid_filter";
  byId("filter-problem").textContent = refused ? error.message : "";
  show(byId("filter-problem"), refused);
  byId("filter").setAttribute("aria-invalid", String(refused));
  if (error && asksForKey(error)) showKeyForm();
  // That there is no key yet is no mistake: the field says it.
  const said = error && !refused && error.code !== "key_missing" ? error.message : "";
  byId("problem").textContent = said;
  show(byId("problem"), said !== "");
}

function showKeyForm() {
  show(byId("key-form"), true);
  byId("key").focus();
}

function useKey(key) {
  storeKey(key);
  byId("key").value = "";
  show(byId("key-form"), false);
  show(byId("forget"), true);
  showProblem(null);
  showFacts();
  if (state.query) search();
}

/** Run `state.query` with the filter as it is written; an answer that was overtaken by a newer question is dropped. */
async function search() {
  const { query } = state;
  if (!query) return;
  const turn = ++state.turn;
  const filter = writtenFilter();
  const results = byId("results");
  results.setAttribute("aria-busy", "true");
  showProblem(null);
  showShots(query.shots);
  try {
    const answer = await ask(`/search?k=${byId("k").value}`, query.request(filter));
    if (turn !== state.turn) return;
    const failed = new Map((answer.errors || []).map(({ position, error }) => [position, error.message]));
    showShots(query.shots, failed);
    showAnswer(answer, filter !== "");
  } catch (error) {
    if (turn !== state.turn) return;
    showProblem(error);
    showShots(query.shots, new Map((error.pictures || []).map(({ position, message }) => [position, message])));
    showNoAnswer();
  } finally {
    if (turn === state.turn) results.removeAttribute("aria-busy");
  }
}

/** Before there is a picture to search with a filter is only tried, so that a mistake in it shows at once. */
async function tryFilter() {
  const turn = ++state.turn;
  const filter = writtenFilter();
  showProblem(null);
  showInvitation();
  if (filter === "") return;
  try {
    const { items } = await ask(`/items?limit=1&filter=${encodeURIComponent(filter)}`);
    if (turn !== state.turn) return;
    showInvitation(items.length > 0 ? "The filter is set: choose a picture." : "The filter lets no picture through.");
  } catch (error) {
    if (turn === state.turn) showProblem(error);
  }
}

function searchFiles(files) {
  const pictures = [...files];
  if (pictures.length === 0) return;
  state.urls.forEach((url) => URL.revokeObjectURL(url));
  state.urls = pictures.map((file) => URL.createObjectURL(file));
  state.query = {
    shots: pictures.map((file, position) => ({ url: state.urls[position], name: file.name || "pasted picture" })),
    request: (filter) => {
      const form = new FormData();
      pictures.forEach((file) => form.append("images", file, file.name || "pasted"));
      if (filter) form.append("filter", filter);
      return { method: "POST", body: form };
    },
  };
  if (location.hash) history.pushState(null, "", location.pathname);
  search();
}

function searchItem(id) {
  state.query = {
    shots: [{ url: thumbnailOf(id), name: id }],
    request: (filter) => ({
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(filter ? { item_id: id, filter } : { item_id: id }),
    }),
  };
  search();
}

/** `#item=ID` is a search from that item, so that Back, Forward and a bookmark work. */
function followHash() {
  if (!location.hash.startsWith("#item=")) return;
  try {
    searchItem(decodeURIComponent(location.hash.slice("#item=".length)));
  } catch {
    showProblem(new Error("The address of this page names no item."));
  }
}

async function showFacts() {
  try {
    const stats = await ask("/stats");
    byId("facts").textContent = `${plural(stats.catalogue.items, "picture")} · ${stats.model.name}`;
    if (stats.catalogue.ranks.length > 0) byId("ranks").textContent = ` Ranks here: ${stats.catalogue.ranks.join(", ")}.`;
    byId("note").textContent = stats.note || "";
    show(byId("note"), Boolean(stats.note));
  } catch (error) {
    showProblem(error);
  }
}

function listen() {
  const drop = byId("drop");
  byId("files").addEventListener("change", (event) => {
    searchFiles(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length > 0) searchFiles(event.dataTransfer.files);
    else showProblem(new Error("That was no file. Save the picture first, or copy it and paste it here."));
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length > 0) searchFiles(event.clipboardData.files);
  });
  byId("k").addEventListener("change", search);
  byId("filter-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state.query) search();
    else tryFilter();
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
  byId("cards").addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    location.hash = `item=${encodeURIComponent(card.dataset.id)}`;
    window.scrollTo({ top: 0 });
    byId("results").focus({ preventScroll: true });
  });
  window.addEventListener("hashchange", followHash);
}

listen();
showFacts();
followHash();
