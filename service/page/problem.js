// What went wrong, said next to what it is about: the filter, the key, or the page as a whole.

import { byId, show } from "./elements.js";
import { asksForKey, passes } from "./server.js";

/** Say what is wrong; null takes back what was said before. */
export function showProblem(error) {
  const refused = Boolean(error) && error.code === "invalid_filter";
  byId("filter-problem").textContent = refused ? error.message : "";
  show(byId("filter-problem"), refused);
  byId("filter").setAttribute("aria-invalid", String(refused));
  if (refused) byId("filters").open = true;
  if (error && asksForKey(error)) askForKey();
  // That there is no key yet is no mistake: the field says it.
  const said = error && !refused && error.code !== "key_missing" ? error.message : "";
  byId("problem-text").textContent = said;
  show(byId("retry"), Boolean(error) && passes(error));
  show(byId("problem"), said !== "");
}

function askForKey() {
  show(byId("key-form"), true);
  byId("key").focus();
}
