"use strict";
// Light or dark: what the reader's system asks for, until the button says otherwise.
(() => {
  const root = document.documentElement;
  const asked = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const apply = () => {
    root.dataset.theme = chosen ?? (asked.matches ? "dark" : "light");
    root.dispatchEvent(new CustomEvent("themechange"));
  };
  asked.addEventListener("change", apply);
  document.getElementById("theme")?.addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    apply();
  });
  apply();
})();
