// Renders /openapi.json, which this server made. Nothing is loaded from anywhere else.
"use strict";

/** An element with a class and children; strings become text, never markup. */
function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Text whose `words in backticks` are code. */
function prose(text) {
  const pieces = text.split("`").map((piece, index) => (index % 2 ? element("code", "", piece) : piece));
  return element("p", "", ...pieces);
}

const code = (value) => element("pre", "", typeof value === "string" ? value : JSON.stringify(value, null, 2));

function examplesOf(content) {
  return Object.entries(content || {}).flatMap(([type, { example, examples }]) => {
    const named = examples ? Object.entries(examples).map(([name, { value }]) => [name, value]) : [];
    if (example !== undefined) named.unshift(["", example]);
    return named.flatMap(([name, value]) => [element("h3", "", [type, name].filter(Boolean).join(", ")), code(value)]);
  });
}

function tableOf(rows) {
  const cells = rows.map(([name, text]) => element("tr", "", element("td", "", name), element("td", "", text)));
  return element("table", "", element("tbody", "", ...cells));
}

function bodyOf(operation) {
  const body = element("div", "body", prose(operation.description || ""));
  if (operation["x-curl"]) body.append(element("h3", "", "Try it"), code(operation["x-curl"].replace("{origin}", location.origin)));
  const [scope] = (operation.security || []).flatMap(({ key }) => key || []);
  if (scope) body.append(prose(`With keys: one of the scope \`${scope}\`, as \`Authorization: Bearer lodisc_...\``));
  if (operation.parameters) {
    const rows = operation.parameters.map(({ name, in: place, description }) => [`${name} (${place})`, description || ""]);
    body.append(element("h3", "", "Parameters"), tableOf(rows));
  }
  if (operation.requestBody) body.append(...examplesOf(operation.requestBody.content));
  const answers = Object.entries(operation.responses).map(([status, { description }]) => [status, description]);
  body.append(element("h3", "", "Answers"), tableOf(answers));
  for (const [status, answer] of Object.entries(operation.responses)) {
    if (status.startsWith("2")) body.append(...examplesOf(answer.content));
  }
  return body;
}

async function render() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById("about").textContent = api.info.description;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const summary = element(
        "summary",
        "",
        element("span", "method", method.toUpperCase()),
        element("span", "path", path),
        element("span", "what", operation.summary),
      );
      document.getElementById("operations").append(element("details", "operation", summary, bodyOf(operation)));
    }
  }
}

render().catch((error) => {
  const problem = document.getElementById("problem");
  problem.textContent = `The description of the API did not load: ${error.message}`;
  problem.hidden = false;
});
