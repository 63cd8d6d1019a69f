// Light or dark: what the system says, until a person says otherwise. Loaded first and not as a module, so that the
// page is never drawn in the other colours for a moment.
"use strict";

{
  const NAME = "lodisc-theme";
  const root = document.documentElement;
  const attempt = (use) => {
    try {
      return use();
    } catch {
      return null; // this browser keeps nothing: the choice holds until the page is left
    }
  };
  const chosen = attempt(() => localStorage.getItem(NAME));
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  /** Change over; to what the system has is no choice of its own, so the page follows the system again. */
  const change = () => {
    const wanted = isDark() ? "light" : "dark";
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    if (wanted === system) {
      delete root.dataset.theme;
      attempt(() => localStorage.removeItem(NAME));
    } else {
      root.dataset.theme = wanted;
      attempt(() => localStorage.setItem(NAME, wanted));
    }
  };

  document.addEventListener("click", (event) => {
    if (event.target.closest("#theme")) change();
  });
}
