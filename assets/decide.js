// The decision helper: looks up what the answers lead to. The rules are Python's; the page carries what follows from every combination of answers.
(() => {
  "use strict";
  const data = JSON.parse(document.querySelector("script.tw-outcomes").textContent);

  const walk = (node, answers) => {
    while (node >= 0) { const [question, ...leads] = data.nodes[node]; node = leads[answers[question]]; }
    return ~node;
  };
  const decide = (answers) => {
    const [facts, style, last, rests] = data.leaves[walk(data.decides, answers)];
    return { deciding: [facts, style, last], outcome: data.rules[last][1], rests };
  };

  // All that is said of these answers (a place in each question's list, 0 for "don't know").
  function find(answers) {
    const { deciding, outcome, rests } = decide(answers);
    const others = data.others.filter(([, root]) => walk(root, answers)).map(([rule]) => rule);
    const asks = others.filter((i) => data.rules[i][0] === "conflict");
    const reasons = [...deciding, ...others.filter((i) => !asks.includes(i))].sort((a, b) => data.rules[a][2] - data.rules[b][2]);
    const needs = deciding.slice(0, 2).map((i) => [data.needs[data.rules[i][0]].title, data.needs[data.rules[i][0]][data.rules[i][1]]]);
    const changes = new Map();
    data.questions.forEach(([, , words], q) => words.slice(1).forEach((_, a) => {
      const then = decide(answers.with(q, a + 1)).outcome;
      if (then !== outcome) changes.set(`${q} ${then}`, [...(changes.get(`${q} ${then}`) ?? [q, then]), a + 1]);
    }));
    return { outcome, rests, needs, asks, reasons, changes: [...changes.values()] };
  }

  const make = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
    made.append(...children);
    return made;
  };
  // Claims lead to their verdict, sources to their page.
  const linked = (text) => text.split(/\b(\w+)\b/).map((part, i) => {
    const link = i % 2 ? data.links[part] : undefined;
    if (!link) return part;
    const [name, url] = typeof link === "string" ? [part, link] : link;
    return url ? make("a", { href: url }, name) : name;
  });
  const pages = { "What can still be tuned": "../tunable.html", "cost calculator": "cost.html" };
  const why = (text) => text.split(/(What can still be tuned|cost calculator)/).map((part) => pages[part] ? make("a", { href: pages[part] }, part) : part);

  function show(root) {
    const { elements } = root.querySelector("form");
    const answers = data.questions.map(([name]) => elements[name].selectedIndex);
    const { outcome, rests, needs, asks, reasons, changes } = find(answers);
    const [title, meaning, next] = data.outcomes[outcome];
    const missing = data.questions.filter((_, i) => !answers[i]).length;
    root.querySelector(".tw-text").replaceChildren(
      make("p", { class: "tw-outcome" }, title), make("p", {}, meaning),
      make("ul", {}, ...needs.map(([need, words]) => make("li", {}, make("b", {}, `${need}: `), words))),
      ...asks.map((i) => make("p", { class: "tw-note" }, make("b", {}, "Settle this first. "), data.rules[i][3])),
      make("p", {}, make("b", {}, "Measure next. "), ...why(next)),
      make("p", {}, make("small", {}, ...linked(rests))),
      ...(missing ? [make("p", {}, make("small", {}, `Not answered: ${missing} of ${answers.length}. An answer may change this; the last list shows which.`))] : []));
    const given = data.questions.map(([, asked, words], i) => make("li", {}, make("b", {}, `${asked}: `), words[answers[i]]));
    const because = reasons.map((i) => {
      const [stage, , step, words, rest] = data.rules[i];
      return make("li", { class: stage === "note" ? "" : "tw-decides" }, make("b", {}, `${data.steps[step]}. `), ...why(words), " ", make("small", {}, ...linked(rest)));
    });
    const others = changes.map(([q, then, ...to]) => {
      const [, asked, words] = data.questions[q];
      return make("li", {}, make("b", {}, `${asked}: `), `${to.map((a) => `“${words[a]}”`).join(" or ")} → `, make("em", {}, data.outcomes[then][0]));
    });
    const list = (head, kind, items) => [make("h2", { class: "tw-head" }, head), make("ul", { class: kind }, ...items)];
    root.querySelector(".tw-tables").replaceChildren(
      make("div", { class: "tw-given" }, ...list("Your answers", "", given)),
      ...list("Reasons", "tw-reasons", because), ...list("What would change it: one other answer, all else equal", "", others));
    let bar = root.querySelector(".tw-decided");
    if (!bar) { bar = make("a", { class: "tw-decided", href: `#${root.id}-result` }); root.querySelector(".tw-text").before(bar); root.querySelector(".tw-text").id = `${root.id}-result`; }
    bar.textContent = title;
    return `Recommendation: ${title}.`;
  }

  window.tunewise ??= {};
  window.tunewise.lookups = { "whentofinetune.calculators.decide:decide_json": show };
  window.tunewise.find = find;
})();
