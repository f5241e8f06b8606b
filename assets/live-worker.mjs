// Runs the book's calculators, the same Python modules as in the notebooks, away from the page's own thread.
const here = new URL(".", import.meta.url);
const INDEX = new URL("vendor/pyodide/", here).href;

const CALL = `
import importlib, json
def call(core, text):
    module, function = core.split(":")
    try:
        return json.dumps({"ok": getattr(importlib.import_module(module), function)(text)})
    except ValueError as error:
        return json.dumps({"wrong": str(error)})
call
`;

async function start() {
  const packed = fetch(new URL("calculators.zip", here)).then((r) => {
    if (!r.ok) throw new Error(`the calculators are not there (${r.status})`);
    return r.arrayBuffer();
  });
  const { loadPyodide } = await import(INDEX + "pyodide.mjs");
  const python = await loadPyodide({ indexURL: INDEX });
  python.unpackArchive(await packed, "zip");
  return python.runPython(CALL);
}

let ready;
const warm = new Set();

onmessage = async ({ data: { id, core, settings } }) => {
  try {
    const call = await (ready ??= start());
    if (!core) return postMessage({ id, ready: true });
    const began = performance.now();
    postMessage({ id, ...JSON.parse(call(core, settings)), ms: performance.now() - began });
    if (warm.has(core)) return;
    warm.add(core); // the engine compiles what has run a few times: after the first answer, so that nobody waits for it
    for (let i = 0; i < 5; i++) call(core, settings);
  } catch (error) {
    ready = undefined; // the next message tries again
    postMessage({ id, failed: String(error.message ?? error).trim().split("\n").pop() });
  }
};
