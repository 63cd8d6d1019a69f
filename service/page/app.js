// The search page: a picture in, ranked neighbours out. Talks only to the server that it came from.
"use strict";

const byId = (id) => document.getElementById(id);
const state = { query: null, urls: [], turn: 0 };

const percent = (share) => `${Math.round(share * 100)} %`;
const fill = (bar, share) => bar.style.setProperty("width", `${100 * Math.min(1, Math.max(0, share))}%`);
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const thumbnailOf = (id) => `/items/${id.split("/").map(encodeURIComponent).join("/")}/thumbnail`;

const KEY_CODES = new Set(["key_missing", "key_refused", "scope_too_small"]);
const KEY_NAME = "lodisc-key";
const storedKey = () => sessionStorage.getItem(KEY_NAME); // gone with the tab, and never sent but to this server

/** The options of a request, with the key if there is one. */
function withKey(options = {}) {
  const key = storedKey();
  return key ? { ...options, headers: { ...options.headers, Authorization: `Bearer ${key}` } } : options;
}

/** Show a picture of the server. A browser sends no header of ours for an image, so with a key it is fetched. */
async function showPicture(image, path) {
  if (!storedKey() || path.startsWith("blob:")) {
    image.src = path;
    return;
  }
  const response = await fetch(path, withKey()).catch(() => null);
  const url = response && response.ok ? URL.createObjectURL(await response.blob()) : null;
  image.loading = "eager"; // its bytes are here already, and are let go of once it is loaded
  image.onload = image.onerror = () => url && URL.revokeObjectURL(url);
  image.src = url || path;
}

/** The answer's JSON, or an Error that carries the server's own words. */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, withKey(options));
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const document = await response.json().catch(() => null);
  if (response.ok && document) return document;
  const said = document && document.error;
  const error = new Error(said ? said.message : `The server answered ${response.status} without saying why.`);
  error.code = said ? said.code : null;
  error.pictures = (said && said.detail && said.detail.pictures) || [];
  throw error;
}

function show(element, visible) {
  element.hidden = !visible;
}

function showProblem(error) {
  const box = byId("problem");
  const asksForKey = Boolean(error) && KEY_CODES.has(error.code);
  if (asksForKey) showKeyForm();
  // That there is no key yet is no mistake: the field says it.
  const said = error && error.code !== "key_missing" ? error.message : "";
  box.textContent = said;
  show(box, said !== "");
}

function showKeyForm() {
  show(byId("key-form"), true);
  byId("key").focus();
}

function useKey(key) {
  sessionStorage.setItem(KEY_NAME, key);
  byId("key").value = "";
  show(byId("key-form"), false);
  show(byId("forget"), true);
  showProblem(null);
  showFacts();
  if (state.query) search();
}

/** The query's own pictures, as previews; `failed` maps a position to what is wrong with it. */
function showShots(shots, failed = new Map()) {
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

function showAnswer(answer) {
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

function showMatches(answer) {
  byId("cards").replaceChildren(
    ...answer.matches.map((match, row) => cardFor(match, row + 1, answer.prediction.label)),
  );
  show(byId("empty"), answer.matches.length === 0);
  if (answer.matches.length === 0) byId("empty").textContent = "The catalogue has no other picture.";
  const milliseconds = answer.timing_ms.total;
  byId("results-title").textContent =
    milliseconds === undefined ? "Nearest pictures" : `Nearest pictures, in ${Math.round(milliseconds)} ms`;
  const first = answer.prediction.label ? `, voted ${answer.prediction.label}` : "";
  byId("status").textContent = `${plural(answer.matches.length, "match").replace("matchs", "matches")}${first}`;
}

/** Run `state.query`; an answer that was overtaken by a newer question is dropped. */
async function search() {
  const { query } = state;
  if (!query) return;
  const turn = ++state.turn;
  const results = byId("results");
  results.setAttribute("aria-busy", "true");
  showProblem(null);
  showShots(query.shots);
  try {
    const answer = await ask(`/search?k=${byId("k").value}`, query.request());
    if (turn !== state.turn) return;
    const failed = new Map((answer.errors || []).map(({ position, error }) => [position, error.message]));
    showShots(query.shots, failed);
    showAnswer(answer);
    showMatches(answer);
  } catch (error) {
    if (turn !== state.turn) return;
    showProblem(error);
    showShots(query.shots, new Map((error.pictures || []).map(({ position, message }) => [position, message])));
    show(byId("answer"), false);
    show(byId("note"), false);
    byId("cards").replaceChildren();
    show(byId("empty"), true);
  } finally {
    if (turn === state.turn) results.removeAttribute("aria-busy");
  }
}

function searchFiles(files) {
  const pictures = [...files];
  if (pictures.length === 0) return;
  state.urls.forEach((url) => URL.revokeObjectURL(url));
  state.urls = pictures.map((file) => URL.createObjectURL(file));
  state.query = {
    shots: pictures.map((file, position) => ({ url: state.urls[position], name: file.name || "pasted picture" })),
    request: () => {
      const form = new FormData();
      pictures.forEach((file) => form.append("images", file, file.name || "pasted"));
      return { method: "POST", body: form };
    },
  };
  if (location.hash) history.pushState(null, "", location.pathname);
  search();
}

function searchItem(id) {
  state.query = {
    shots: [{ url: thumbnailOf(id), name: id }],
    request: () => ({
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ item_id: id }),
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
  byId("key").addEventListener("input", (event) => (event.target.value = event.target.value.trim()));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value);
  });
  show(byId("forget"), storedKey() !== null);
  byId("forget").addEventListener("click", () => {
    sessionStorage.removeItem(KEY_NAME);
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
