// The elements of the page: found by their id, made from text, shown and hidden. Text never becomes markup.

export const byId = (id) => document.getElementById(id);

export function show(element, visible) {
  element.hidden = !visible;
}

/** A new element. `properties` are the element's own (className, textContent ...), `data` and `aria` its attributes. */
export function make(tag, { data = {}, aria = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

/** A button that does no more than call `onclick`. */
export const button = (textContent, onclick, properties = {}) =>
  make("button", { type: "button", textContent, onclick, ...properties });

/** How far a bar is filled, from 0 to 1. */
export const fill = (bar, share) => bar.style.setProperty("width", `${100 * Math.min(1, Math.max(0, share))}%`);
