// Predictions and self-checks. What the reader answers stays in this browser; without this script nothing is covered.
(() => {
  "use strict";
  const key = (form) => `tw-question:${location.pathname}:${form.dataset.name}`;
  const remembered = (form) => { try { return localStorage.getItem(key(form)); } catch { return null; } };
  const remember = (form, value) => { try { localStorage.setItem(key(form), value); } catch { /* private window */ } };
  const chosen = (form) => form.querySelector("input[type=radio]:checked")?.value ?? form.querySelector("input[type=range]")?.value;
  const text = (form, value) => form.querySelector(`input[value="${value}"] + label`)?.textContent;

  // The cell after the question's own that shows a figure or a table.
  const after = (form) => {
    let cell = form.closest(".cell")?.nextElementSibling;
    while (cell && !cell.querySelector(".tw-figure, .tw-table")) cell = cell.nextElementSibling;
    return cell;
  };

  function reveal(form, cell, value) {
    const { truth, unit } = form.dataset;
    const said = form.querySelector(".tw-answer");
    if (text(form, 0) !== undefined) {
      said.textContent = value === truth ? `You predicted what was measured: ${text(form, truth)}.` : `You predicted: ${text(form, value)}. Measured: ${text(form, truth)}.`;
    } else {
      const off = Math.abs(value - truth);
      said.textContent = `You predicted ${value} ${unit}; measured: ${truth} ${unit}. You were ${off < 0.5 ? "right" : `${Number(off.toPrecision(2))} off`}.`;
    }
    cell.classList.remove("tw-covered");
  }

  for (const form of document.querySelectorAll(".tw-predict")) {
    const cell = after(form), range = form.querySelector("input[type=range]"), before = remembered(form);
    const button = form.querySelector("button"), ready = () => { button.disabled = false; };
    button.disabled = before === null; // until the slider or a choice was touched
    form.addEventListener("input", ready);
    range?.addEventListener("click", ready); // the middle may be meant
    form.querySelector(".tw-asked").hidden = false;
    range?.addEventListener("input", () => { form.querySelector("output").textContent = range.value; });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = chosen(form);
      remember(form, value);
      if (cell) reveal(form, cell, value);
    });
    if (!cell) continue;
    if (before === null) { cell.classList.add("tw-covered"); continue; }
    if (range) { range.value = before; form.querySelector("output").textContent = before; }
    else form.querySelector(`input[value="${before}"]`)?.click();
    reveal(form, cell, before);
  }

  for (const form of document.querySelectorAll(".tw-check")) {
    const reasons = [...form.querySelectorAll("li")].map((li) => li.textContent.trim());
    form.querySelector(".tw-asked").hidden = false;
    form.querySelector("details").hidden = true;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => {
      const value = chosen(form);
      form.querySelector(".tw-answer").textContent = reasons[value];
      form.classList.toggle("tw-right", value === form.dataset.truth);
      remember(form, value);
    });
    const before = remembered(form);
    if (before !== null) form.querySelector(`input[value="${before}"]`)?.click();
  }
})();
