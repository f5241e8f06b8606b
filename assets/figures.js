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

  // Words in lines of at most `most` letters; a longer word has a line of its own.
  const wrap = (text, most) => String(text).split("<br>").map((line) => line.split(" ").reduce((lines, word) => {
    const last = lines.at(-1);
    return last && last.length + word.length < most ? [...lines.slice(0, -1), `${last} ${word}`] : [...lines, word];
  }, []).join("<br>")).join("<br>");
  const lines = (text) => text.split("<br>").length;
  const longest = (texts) => Math.max(0, ...texts.flatMap((text) => text.split("<br>")).map((line) => line.length));

  // Rows of the legend: Plotly sets its entries in columns as wide as the longest name.
  const legendRows = (data, { showlegend }, width) => {
    const names = data.filter((t) => t.name && t.showlegend !== false && t.visible !== false).map((t) => t.name);
    if (showlegend === false || names.length < 2) return 0;
    return Math.ceil(names.reduce((sum, n) => sum + lines(n), 0) / Math.max(1, Math.floor((width - 60) / (40 + 7 * longest(names)))));
  };

  // Labels of a logarithmic axis that do not cover each other on so many pixels.
  const apart = (axis, pixels) => {
    const at = axis.tickvals.map(Math.log), scale = pixels / (at.at(-1) - at[0]), kept = [];
    at.forEach((x, i) => {
      if (!kept.length || (x - at[kept.at(-1)]) * scale > 8 * axis.ticktext[i].length + 6) kept.push(i);
    });
    return { ...axis, tickvals: kept.map((i) => axis.tickvals[i]), ticktext: kept.map((i) => axis.ticktext[i]) };
  };

  // On a telephone names stand in several lines, a title is as wide as its axis, and what repeats the numbers of the cells is left out.
  const narrow = (data, layout, width) => {
    const names = [...new Set(data.filter((t) => t.orientation === "h").flatMap((t) => t.y))];
    const rows = { ...layout.yaxis };
    if (names.length) Object.assign(rows, { tickvals: names, ticktext: names });
    if (rows.ticktext) rows.ticktext = rows.ticktext.map((text) => wrap(text, 20));
    const left = rows.visible === false ? 24 : Math.max(52, 8 * longest(rows.ticktext ?? []) + (rows.title?.text ? 24 : 0));
    const across = { ...layout.xaxis };
    if (across.title?.text) across.title = { ...across.title, text: wrap(across.title.text, (width - left - 28) / 7.5), font: { size: 14 } };
    if (rows.title?.text) rows.title = { ...rows.title, font: { size: 14 } };
    for (const trace of data) if (trace.insidetextfont) trace.insidetextfont.size = 11;
    for (const trace of data) if (trace.name) trace.name = wrap(trace.name, (width - left - 60) / 7);
    return {
      ...layout, yaxis: rows, xaxis: across.type === "log" && across.ticktext ? apart(across, width - left - 28) : across,
      margin: { ...layout.margin, l: Math.min(52, layout.margin?.l ?? 52) },
      height: Math.max(layout.height ?? 400, 140 + names.length * (6 + 17 * Math.max(0, ...(rows.ticktext ?? []).map(lines)))) + 18 * (lines(across.title?.text ?? "") - 1),
      ...(layout.coloraxis && { coloraxis: { ...layout.coloraxis, showscale: false } }),
    };
  };

  // Colours that have too little contrast on a dark ground, and what stands for them there; grey bands are stronger.
  const LIGHTER = { "#0072B2": "#3C9BDC", "#8C6D46": "#B5936A", "#7F7F7F": "#9C9C9C", "#A8457F": "#C85CA0", "#5A5AA8": "#8C8CD9" };
  const onDark = ({ data, layout }) => {
    const text = JSON.stringify({ data, layout }).replace(/#[0-9a-f]{6}/gi, (hex) => LIGHTER[hex.toUpperCase()] ?? hex);
    const spec = JSON.parse(text);
    for (const shape of spec.layout.shapes ?? []) if (shape.fillcolor) shape.opacity = 1.5 * (shape.opacity ?? 1);
    return spec;
  };

  // The reader's theme and width: Plotly knows no CSS. A legend of several rows gets its own height, so that it takes none of the figure's.
  const dress = (spec, width) => {
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue("--pst-color-text-base").trim() || "#222";
    const line = css.getPropertyValue("--pst-color-border").trim() || "#ccc";
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line };
    const dark = document.documentElement.dataset.theme === "dark";
    const { data, layout: made } = dark ? onDark(spec) : structuredClone({ data: spec.data, layout: spec.layout });
    let layout = merge(made, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink } });
    for (const key of ["xaxis", "yaxis"]) layout[key] = { ...axis, ...layout[key] };
    if (layout.coloraxis && layout.yaxis.ticktext) delete layout.yaxis.title; // the names say it
    if (width < 520) layout = narrow(data, layout, width);
    layout.hoverlabel = { font: { size: 14 } };
    layout.modebar = { color: css.getPropertyValue("--pst-color-text-muted").trim() || ink, activecolor: ink, bgcolor: "rgba(0,0,0,0)" };
    layout.margin = { ...layout.margin, t: 36 };
    layout.width = width;
    layout.height = (layout.height ?? 400) + 20 * Math.max(0, legendRows(data, layout, width) - 1);
    delete layout.title; // it stands above the figure as text
    delete layout.updatemenus;
    return { data, layout };
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
    const { data, layout } = dress(figure.spec, plot.clientWidth);
    reserve(plot, layout);
    await (first ? library.newPlot : library.react)(plot, data, layout, config);
    if (!first) return;
    choices(figure);
    fit.observe(plot); // a calculator's figure may be new to the page
  }

  // A figure is made for the width of its column and is drawn anew when that changes, by whatever: the window, the sidebar, a fold. Until it
  // is drawn, the page keeps its height free, so that nothing below moves.
  const drawnAt = new WeakMap();
  const reserve = (plot, { height }) => plot.style.setProperty("--tw-height", `${height}px`);
  let resting;
  const fit = new ResizeObserver((entries) => {
    for (const { target: plot } of entries) {
      const figure = plot.closest(".tw-figure");
      if (plot.clientWidth && !drawnAt.has(plot)) reserve(plot, dress(figure.spec ?? read(figure), plot.clientWidth).layout);
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
