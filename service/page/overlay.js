// A picture with what decided drawn over it: numbered boxes, and a map of attention that can be switched on.
//
// Places are shares of the whole upright picture, so they lie right whatever its size on the screen.

import { make } from "./elements.js";
import { showPicture } from "./server.js";

const HOT = [255, 122, 0];

/** A place over a picture: `box` is left, top, right, bottom in [0, 1]. */
function put(element, [left, top, right, bottom]) {
  const sides = { left, top, width: right - left, height: bottom - top };
  for (const [side, share] of Object.entries(sides)) element.style.setProperty(side, `${100 * share}%`);
}

/** The map of attention as a canvas of one pixel a patch, which the browser stretches over the part that was seen. */
function heatOf({ grid: [rows, columns], box, scores }) {
  const canvas = make("canvas", { className: "heat", width: columns, height: rows });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  const most = Math.max(...scores) || 1;
  scores.forEach((score, patch) => pixels.data.set([...HOT, 255 * Math.max(0, score / most)], 4 * patch));
  context.putImageData(pixels, 0, 0);
  put(canvas, box);
  return canvas;
}

/** A numbered box. Several patches may have met one: then their numbers stand beside each other over it. */
function markOf({ number, box }, before) {
  const properties = { className: `mark pair-${number}`, data: { pair: number }, aria: { hidden: "true" } };
  const mark = make("span", properties, String(number));
  mark.style.setProperty("--beside", String(before.filter((one) => String(one.box) === String(box)).length));
  put(mark, box);
  return mark;
}

/**
 * A picture with marks.
 *
 * @param {string} path of the picture.
 * @param {string} alt what it shows.
 * @param {{number: number, box: number[]}[]} marks numbered from 1; equal numbers on two pictures share a colour.
 * @param {object|null} attention `{grid, box, scores}`, null where it is not known.
 */
export function pictureWithMarks(path, alt, marks, attention = null) {
  const image = make("img", { alt, decoding: "async" });
  const stage = make("div", { className: "stage" }, image);
  image.addEventListener("load", () =>
    stage.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight)),
  );
  showPicture(image, path);
  if (attention) stage.append(heatOf(attention));
  stage.append(...marks.map((mark, row) => markOf(mark, marks.slice(0, row))).reverse()); // the strongest lies on top
  return stage;
}
