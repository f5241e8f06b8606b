// Paper is light, whichever theme the reader has chosen: a dark ground costs ink, and without it light letters cannot be read.
(() => {
  "use strict";
  const page = document.documentElement;
  let chosen;
  addEventListener("beforeprint", () => { chosen = page.dataset.theme; page.dataset.theme = "light"; });
  addEventListener("afterprint", () => { page.dataset.theme = chosen; });
})();
