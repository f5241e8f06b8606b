// Draws the page's Plotly figures when they come near the view; until then, and without JavaScript, the saved picture stands.
(() => {
  "use strict";
  const base = new URL(".", document.currentScript.src);
  let loading;

  // Plotly is fetched once, from this site, when the first figure is needed.
  const plotly = () => (loading ??= new Promise((done, fail) => {
    const tag = document.createElement("script");
    tag.src = new URL("vendor/plotly-basic.min.js", base).href;
    tag.onload = () => {
      window.Plotly.setPlotConfig({ logging: 0 }); // it warns of each bar whose colour is a number on a scale: longer than drawing it
      done(window.Plotly);
    };
    tag.onerror = () => fail(new Error("the figure library could not be loaded"));
    document.head.append(tag);
  }));

  const merge = (low, high) => {
    const plain = (v) => v && typeof v === "object" && !Array.isArray(v);
    if (!plain(low) || !plain(high)) return high;
    const out = { ...low };
    for (const [k, v] of Object.entries(high)) out[k] = k in low ? merge(low[k], v) : v;
    return out;
  };

  // Rows of the legend: Plotly sets its entries in columns as wide as the longest name.
  const legendRows = (data, { showlegend }, width) => {
    const names = data.filter((t) => t.name && t.showlegend !== false && t.visible !== false).map((t) => t.name.length);
    if (showlegend === false || names.length < 2) return 0;
    return Math.ceil(names.length / Math.max(1, Math.floor((width - 60) / (40 + 7 * Math.max(...names)))));
  };

  // The reader's theme and width: Plotly knows no CSS. A legend of several rows gets its own height, so that it takes none of the figure's.
  const dress = ({ data, layout }, width) => {
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue("--pst-color-text-base").trim() || "#222";
    const line = css.getPropertyValue("--pst-color-border").trim() || "#ccc";
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line };
    const themed = merge(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink } });
    for (const key of ["xaxis", "yaxis"]) themed[key] = { ...axis, ...themed[key] };
    if (width < 520) themed.margin = { ...themed.margin, l: Math.min(52, themed.margin?.l ?? 52), r: 8 };
    themed.hoverlabel = { font: { size: 14 } };
    themed.margin = { ...themed.margin, t: 36 };
    themed.width = width;
    themed.height = (themed.height ?? 400) + 20 * Math.max(0, legendRows(data, layout, width) - 1);
    delete themed.title; // it stands above the figure as text
    delete themed.updatemenus;
    return themed;
  };

  const config = { displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"], displayModeBar: "hover" };

  const name = (figure, { layout }) => {
    figure.querySelector(".tw-plot").setAttribute("aria-label", layout.meta?.alt ?? "");
    figure.querySelector(".tw-title").textContent = layout.title?.text ?? "";
  };

  // A figure that has no width yet, such as one that waits for a prediction, is drawn when it gets one.
  async function draw(figure, spec) {
    const plot = figure.querySelector(".tw-plot");
    figure.spec = spec;
    name(figure, spec);
    const library = await plotly();
    if (!plot.clientWidth) return;
    const first = !plot.classList.contains("js-plotly-plot");
    plot.setAttribute("role", "group"); // no longer one picture: Plotly's buttons in it can be reached by keyboard
    if (first) plot.replaceChildren();
    drawnAt.set(plot, plot.clientWidth);
    const layout = dress(figure.spec, plot.clientWidth);
    await (first ? library.newPlot : library.react)(plot, structuredClone(figure.spec.data), structuredClone(layout), config);
    if (!first) return;
    choices(figure);
    fit.observe(plot); // a calculator's figure may be new to the page
  }

  // A figure is made for the width of its column and is drawn anew when that changes, by whatever: the window, the sidebar, a fold. Until it
  // is drawn, the page keeps its height free, so that nothing below moves.
  const drawnAt = new WeakMap();
  let resting;
  const fit = new ResizeObserver((entries) => {
    for (const { target: plot } of entries) {
      const figure = plot.closest(".tw-figure");
      const width = plot.clientWidth;
      if (width && !drawnAt.has(plot)) plot.style.minHeight = `${dress(figure.spec ?? read(figure), width).height}px`;
    }
    clearTimeout(resting);
    resting = setTimeout(() => {
      for (const plot of document.querySelectorAll(".tw-plot")) {
        const figure = plot.closest(".tw-figure");
        if (figure.spec && plot.clientWidth && drawnAt.get(plot) !== plot.clientWidth) draw(figure, figure.spec);
      }
    }, 60);
  });

  // Plotly's own menus cannot be reached by keyboard: real ones take their place.
  function choices(figure) {
    for (const menu of figure.spec.layout.updatemenus ?? []) {
      const row = document.createElement("label");
      row.className = "tw-choice";
      const field = document.createElement("select");
      menu.buttons.forEach((s, i) => field.append(new Option(s.label, i, false, i === (menu.active ?? 0))));
      field.addEventListener("input", () => {
        const [traces, change = {}] = menu.buttons[field.value].args;
        const { meta, ...rest } = change;
        figure.spec.data.forEach((t, i) => { t.visible = traces.visible[i]; });
        Object.assign(figure.spec.layout, rest, meta ? { meta } : {});
        draw(figure, figure.spec);
      });
      row.append(`${menu.name ?? "Show"}: `, field);
      figure.prepend(row);
    }
  }

  const read = (figure) => JSON.parse(figure.querySelector("script.tw-plotly").textContent);
  const pause = () => new Promise((done) => setTimeout(done, 0));
  let queue = Promise.resolve();
  const whenNear = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      whenNear.unobserve(target);
      // One figure a task: the page stays responsive. A figure that a calculator has already drawn is left alone.
      queue = queue.then(pause).then(() => target.spec || draw(target, read(target))).catch(() => {});
    }
  }, { rootMargin: "300px" });
  for (const figure of document.querySelectorAll(".tw-figure")) {
    whenNear.observe(figure);
    fit.observe(figure.querySelector(".tw-plot"));
  }

  // The theme switch sets data-theme on <html>.
  new MutationObserver(() => {
    for (const figure of document.querySelectorAll(".tw-figure")) if (figure.spec) draw(figure, figure.spec);
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

  if (location.protocol === "file:") {
    for (const status of document.querySelectorAll(".tw-live .tw-status")) {
      status.textContent = "This page was opened as a file, and browsers run no calculator there: you see the saved result. " +
        "To compute others, serve the book: python -m http.server --directory _build/html";
    }
  }
  window.tunewise = { ...window.tunewise, draw, merge };
})();
