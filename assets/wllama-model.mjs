// The bundled model in the reader's browser: fetched from this site when the reader asks for it, and only then.
const here = new URL(".", import.meta.url);
// A module with a 64-bit memory; the model's engine needs one (Safari has none yet).
const MEMORY64 = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 4, 1]);

class Model {
  constructor(root) {
    this.root = root;
    this.spec = JSON.parse(root.querySelector("script.tw-model-spec").textContent);
    [this.text, this.k] = root.querySelectorAll("textarea, input[type=range]");
    [this.button, this.bar, this.status, this.prompt] = ["button", "progress", ".tw-status", ".tw-prompt"].map((s) => root.querySelector(s));
    this.cells = [...root.querySelectorAll("tbody tr")].map((row) => row.querySelectorAll("td"));
    this.words = this.button.textContent;
    this.answers = new Map(); // prompt -> probabilities that this browser computed
    root.querySelector("fieldset").disabled = false;
    this.text.disabled = !this.spec.carried; // without the model's file only the saved answers are there
    root.querySelector(".tw-buttons").hidden = !this.spec.carried;
    root.querySelector("form").addEventListener("submit", (e) => e.preventDefault());
    for (const field of [this.text, this.k]) field.addEventListener("input", () => this.show());
    this.button.addEventListener("click", () => this.stop ? this.stop.abort() : this.run());
    this.show();
  }

  // As whentofinetune.pages.browser_model builds it: line breaks become spaces, and no text can hold a control token.
  asked() {
    const text = this.text.value.trim().replace(/\s+/g, " ").replaceAll("<|", "< |");
    return `${this.spec.prefixes[this.k.value]} ${text}${this.spec.after}`;
  }

  show() {
    const n = this.spec.examples[this.k.value], prompt = this.asked();
    this.root.querySelector("output").textContent = n;
    this.k.setAttribute("aria-valuetext", `${n} examples`);
    this.prompt.textContent = prompt;
    const saved = this.text.value.trim() === this.spec.text ? this.spec.saved[this.k.value] : undefined;
    Object.keys(this.spec.tokens).forEach((label, i) => {
      fill(this.cells[i][0], saved?.[label], "-");
      fill(this.cells[i][1], this.answers.get(prompt)?.[label], "not asked yet");
    });
  }

  say(words, share) {
    if (this.status.textContent !== words) this.status.textContent = words;
    this.bar.hidden = share === undefined;
    if (share !== undefined) this.bar.value = share;
  }

  async run() {
    if (!this.text.value.trim()) return this.say("Write a tweet first.");
    const missing = lacking();
    if (missing) return this.say(`The model cannot run here: ${missing}. The saved answers stay.`);
    this.stop = new AbortController();
    this.button.textContent = "Cancel";
    try {
      this.engine ??= await this.load(this.stop.signal);
      await this.ask(this.stop.signal);
    } catch (error) {
      this.say(this.stop.signal.aborted ? "Cancelled. Nothing is kept running." : `The model could not answer (${reason(error)}). The saved answers stay.`);
      await this.engine?.exit().catch(() => {});
      this.engine = undefined;
    }
    this.stop = undefined;
    this.button.textContent = this.engine ? "Ask the model" : this.words;
  }

  async load(signal) {
    const began = performance.now();
    this.file ??= await this.fetch(signal);
    this.say("Starting the model…", 1);
    const { Wllama } = await import(new URL("vendor/wllama/index.min.js", here));
    signal.throwIfAborted();
    const engine = new Wllama({ default: new URL("vendor/wllama/wllama.wasm", here).href }, { suppressNativeLog: true, logger: QUIET });
    engine.setCompat(null); // else it would fetch a part from another host
    const started = engine.loadModel([this.file], { n_ctx: 2048, n_batch: 32, n_ubatch: 32, n_gpu_layers: 0, n_parallel: 1 });
    try {
      await until(started, signal);
    } catch (error) {
      started.catch(() => {});
      engine.exit().catch(() => {});
      throw error;
    }
    this.root.dataset.loaded = ((performance.now() - began) / 1000).toFixed(1);
    return engine;
  }

  async fetch(signal) {
    const answer = await fetch(new URL(`model/${this.spec.file}`, here), { signal });
    if (!answer.ok) throw new Error(`its file is not on this site: ${answer.status}`);
    const parts = [], all = this.spec.bytes;
    let n = 0;
    for (const reader = answer.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      n += value.length;
      this.say(`Loading the model: ${Math.round(n / 1e6)} of ${Math.round(all / 1e6)} MB`, n / all);
    }
    if (n !== all) throw new Error("its file arrived incomplete: try again");
    return new Blob(parts);
  }

  // One token after the prompt. Only the labels' tokens can come: all get the same large bias, which leaves their ratios as they are.
  async ask(signal) {
    const began = performance.now(), prompt = this.asked(), { tokens } = this.spec;
    const bias = Object.values(tokens).map((t) => [t, 100]);
    this.say("Reading the prompt…", 0);
    let found, usage;
    const done = this.engine.createCompletion({
      prompt, max_tokens: 1, temperature: 1, samplers: ["temperature"], logit_bias: bias, n_probs: bias.length, post_sampling_probs: true,
      stream: true, return_progress: true, abortSignal: signal,
      onData: (chunk) => {
        const { prompt_progress: p, choices, timings } = chunk;
        if (p) this.say(`Reading the prompt: ${p.processed} of ${p.total} tokens`, p.processed / p.total);
        found = choices?.[0]?.logprobs?.content?.[0]?.top_probs ?? found;
        usage = timings ?? usage;
      },
    });
    await until(done, signal);
    const by = new Map(found.map((t) => [t.id, t.prob]));
    this.answers.set(prompt, Object.fromEntries(Object.entries(tokens).map(([label, t]) => [label, by.get(t) ?? 0])));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    this.root.dataset.answered = seconds;
    const kept = usage?.cache_n ? `, ${usage.cache_n} more were kept from before` : "";
    this.say(`Answered in your browser in ${seconds} s${usage ? `: ${usage.prompt_n} tokens read${kept}` : ""}.`);
    this.show();
  }
}

const QUIET = { debug() {}, log() {}, warn() {}, error: console.error };

// The promise, unless the reader cancels first.
const until = (promise, signal) => Promise.race([promise, new Promise((_, no) => {
  if (signal.aborted) no(signal.reason);
  signal.addEventListener("abort", () => no(signal.reason), { once: true });
})]);

function lacking() {
  if (typeof WebAssembly !== "object") return "this browser has no WebAssembly, or a setting forbids it";
  if (!WebAssembly.validate(MEMORY64)) return "this browser has no WebAssembly with 64-bit memory; a current Chrome, Edge or Firefox has";
  return "";
}

const reason = (error) => /memory|allocat|RangeError/i.test(`${error.name} ${error.message}`)
  ? "there is too little free memory: it needs about 400 MB" : String(error.message ?? error).trim().split("\n")[0].replace(/\.$/, "");

function fill(cell, share, otherwise) {
  const bar = document.createElement("span");
  bar.className = "tw-share";
  bar.style.setProperty("--share", share ?? 0);
  cell.replaceChildren(...(share === undefined ? [otherwise] : [bar, `${(100 * share).toFixed(share < 0.01 ? 1 : 0)}%`]));
}

for (const root of document.querySelectorAll(".tw-model")) new Model(root);
