// The order of search results: the page that decides before the chapters, reference pages after them. Weights are Sphinx's own.
var Scorer = {
  score: ([page, , , , score]) =>
    page === "chapters/decide" ? 3 * score : /^(api|glossary|references|licence|instructors\/.*|chapters\/(claims|records))$/.test(page) ? score / 3 : score,
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 15, 1: 5, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
