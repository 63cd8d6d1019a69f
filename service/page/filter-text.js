// Filters as the server reads them (README, "Filter"), written from what was chosen.

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;
const WORDS = new Set(["and", "or", "not", "in", "true", "false", "exists", "startswith", "contains"]);
const ESCAPED = { "\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t" };

/** A name of a rank; in brackets where it could be taken for something else. */
const nameText = (name) =>
  PLAIN.test(name) && !WORDS.has(name.toLowerCase()) ? name : `[${name.replaceAll("]", "]]")}]`;

const valueText = (value) => `"${value.replace(/[\\"\n\t]/g, (character) => ESCAPED[character])}"`;

/** The filter for items whose `name` is one of some values. */
export function isOneOf(name, values) {
  const [first, ...others] = values.map(valueText);
  if (others.length === 0) return `${nameText(name)} == ${first}`;
  return `${nameText(name)} in (${[first, ...others].join(", ")})`;
}

/** The filter that lets through what all of some filters let through; those that are empty are passed over. */
export function allOf(filters) {
  const said = filters.filter((text) => text !== "");
  return said.length === 1 ? said[0] : said.map((text) => `(${text})`).join(" and ");
}
