// The pictures of the question, small: what each weighs in it, what is wrong with it, and a button that takes it out.

import { button, byId, fill, make, show } from "./elements.js";
import { showPicture } from "./server.js";
import { shareText } from "./words.js";

function weightOf(weight) {
  const bar = make("span", { className: "fill" });
  fill(bar, weight);
  return make(
    "p",
    { className: "weight", title: "What this picture weighs in the question" },
    make("span", { className: "track", aria: { hidden: "true" } }, bar),
    `weight ${shareText(weight)}`,
  );
}

/**
 * Show the pictures of a question.
 *
 * @param {{url: string, name: string}[]} shots none for no question.
 * @param {{failed?: Map<number, string>, weights?: Map<number, number>, remove?: Function|null}} facts by position
 *   what is wrong and what it weighs; `remove` is called with a position, null where pictures cannot be taken out.
 */
export function showShots(shots, { failed = new Map(), weights = new Map(), remove = null } = {}) {
  const figures = shots.map(({ url, name }, position) => {
    const image = make("img", { alt: `Your picture ${name}` });
    const wrong = failed.get(position);
    showPicture(image, url);
    const caption = make("figcaption", { textContent: wrong ? `${name}: ${wrong}` : name, title: name });
    const figure = make("figure", { className: wrong ? "bad" : "" }, image, caption);
    if (shots.length > 1 && weights.has(position)) figure.append(weightOf(weights.get(position)));
    if (remove) {
      figure.append(button("×", () => remove(position), { className: "remove", aria: { label: `Remove ${name}` } }));
    }
    return figure;
  });
  byId("shots").replaceChildren(...figures);
  show(byId("shots"), shots.length > 0);
  show(byId("more-tile"), remove !== null);
  byId("drop").classList.toggle("filled", shots.length > 0);
  byId("choose").textContent = shots.length > 0 ? "New picture" : "Choose a picture";
}
