// SPDX-License-Identifier: Apache-2.0
// Tables. All text goes in as text nodes: names from files are never markup.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// A number with fixed digits; a dash where there is none.
function shown(value, digits, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value.toFixed(digits).replace("-", "−") + unit;
}
function signed(value, digits, unit = "") {
  const text = shown(value, digits, unit);
  return value > 0 && text !== "–" ? "+" + text : text;
}
function interval(ends) {
  return ends ? ends.map((end) => signed(end, 2)).join("..") + " %" : "–";
}
// For figures of any size.
function brief(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return Number(value.toPrecision(4)).toString().replace("-", "−");
}

// Text that may break after its slashes and underscores.
function breakable(text) {
  const span = element("span");
  for (const part of text.split(/(?<=[/_])/)) span.append(part, element("wbr"));
  return span;
}

function strategyName(strategy) {
  return element("span", { class: "name" }, swatch(strategy), breakable(strategy.label));
}

function table(caption, head, rows, attributes = {}) {
  const top = element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((row) => {
    if (row.group) {
      const cell = element("th", { scope: "rowgroup", colspan: head.length }, row.group);
      return element("tr", { class: "group" }, cell);
    }
    const cells = row.map((cell, i) => {
      const bad = cell && cell.bad !== undefined;
      const content = bad ? cell.bad : cell;
      return i === 0 ? element("th", { scope: "row" }, content)
                     : element("td", { class: bad ? "bad" : undefined }, content);
    });
    return element("tr", {}, ...cells);
  });
  const made = element("table", attributes, element("caption", {}, caption),
                       ...(head.some((text) => text !== "") ? [element("thead", {}, top)] : []),
                       element("tbody", {}, ...body));
  return element("div", { class: "scroll panel", tabindex: "0", role: "region", "aria-label": caption }, made);
}

const TARGETS = {
  power: { name: "power", unit: "W", digits: 1 },
  temperature: { name: "temperature", unit: "°C", digits: 1 },
  step: { name: "step time", unit: "ms", digits: 2 },
  between: { name: "time between tokens", unit: "ms", digits: 2 },
  first: { name: "time to first token", unit: "ms", digits: 0 },
};

// What the summary table and the comparison show of a strategy, before its quality.
const FIGURES = [
  { head: "mean W", of: (f) => f.mean_power_w, digits: 1 },
  { head: "J/token", of: (f) => f.joules_per_token, digits: 3 },
  { head: "tokens/s", of: (f) => f.tokens_per_second, digits: 0 },
  { head: "highest °C", of: (f) => f.max_temperature_c, digits: 1 },
  { head: "median step, ms", of: (f) => f.p50_step_ms, digits: 2 },
  { head: "p99 step, ms", of: (f) => f.p99_step_ms, digits: 2 },
  { head: "active experts", of: (f) => f.active_experts, digits: 1 },
];
const TEXT_FIGURES = [
  { head: "bits/byte", of: (f) => f.bits_per_byte, digits: 4 },
  { head: "against BASELINE", of: (f) => f.loss_percent, digits: 2, unit: " %", sign: true },
  { head: "95 % interval", of: (f) => f.loss_interval, text: interval },
  { head: "KL, nats", of: (f) => f.kl_to_baseline, digits: 4 },
];
const MASS_FIGURES = [
  { head: "kept mass", of: (f) => f.kept_percent, digits: 2, unit: " %" },
  { head: "loss, nats", of: (f) => f.quality_loss, digits: 4 },
];
const served = (key) => (f) => (f.serving ? f.serving[key] : null);
const SERVING_FIGURES = [
  { head: "goodput, tokens/s", of: served("goodput"), digits: 0 },
  { head: "between tokens mean/p99, ms", of: served("between"), text: (l) => (l ? `${shown(l.mean, 1)}/${shown(l.p99, 1)}` : "–") },
  { head: "first token p50/p99, ms", of: served("first"), text: (l) => (l ? `${shown(l.p50, 0)}/${shown(l.p99, 0)}` : "–") },
  { head: "batch", of: served("batch"), digits: 1 },
  { head: "waiting", of: served("waiting"), digits: 1 },
  { head: "period, ms", of: served("period_ms"), digits: 1 },
  { head: "price", of: served("lambda"), digits: 4 },
];
const FALLBACKS = { head: "fall-backs", of: (f) => f.fallbacks, digits: 0 };

// A recorded router predicts nothing: it has no bits/byte.
function decodesText(strategy) {
  return strategy.figures.bits_per_byte !== null;
}

// Of what is served: in a table of its own, and in a comparison after the others.
function servingFigures(strategies) {
  return strategies.some((s) => s.figures.serving) ? [...SERVING_FIGURES, ...targetFigures(strategies, LATENCIES)] : [];
}

function figuresOf(strategies) {
  return [...targetFigures(strategies, HARDWARE), ...FIGURES,
          ...(strategies.some(decodesText) ? TEXT_FIGURES : []),
          ...(strategies.every(decodesText) ? [] : MASS_FIGURES), FALLBACKS];
}

const HARDWARE = ["power", "temperature", "step"];
const LATENCIES = ["between", "first"];

function targetFigures(strategies, among) {
  const kinds = [];
  for (const strategy of strategies) {
    for (const target of strategy.figures.targets) {
      if (among.includes(target.kind) && !kinds.includes(target.kind)) kinds.push(target.kind);
    }
  }
  return kinds.flatMap((kind) => {
    const target = (f) => f.targets.find((one) => one.kind === kind);
    const name = TARGETS[kind].name;
    return [
      { head: `${name} over limit`, of: (f) => (target(f) ? 100 * target(f).over_share : null),
        digits: 1, unit: " %", broken: true },
      { head: `${name} above target`, of: (f) => (target(f) && target(f).above_share !== null ? 100 * target(f).above_share : null),
        digits: 1, unit: " %" },
      ...(LATENCIES.includes(kind) ? []
          : [{ head: `${name} settled, s`, of: (f) => (target(f) ? target(f).settling_s : null), digits: 1 }]),
    ];
  });
}

function figureText(figure, value) {
  if (figure.text) return figure.text(value);
  return figure.sign ? signed(value, figure.digits, figure.unit) : shown(value, figure.digits, figure.unit);
}

/// "" where nothing is, "simulated", or of two runs which one: "B simulated".
function simulatedWord(data) {
  const which = data.runs.map((run, r) => (run.simulated ? "AB"[r] : "")).join("");
  return which.length === data.runs.length ? "simulated" : which && `${which} simulated`;
}

function servingTable(data, strategies) {
  const figures = servingFigures(strategies);
  if (figures.length === 0) return "";
  const simulated = simulatedWord(data);
  return figuresTable(`Requests that arrive, and what they were given${simulated && ` (${simulated})`}.`, data, strategies, figures);
}

function figuresTable(caption, data, strategies, figures) {
  const rows = strategies.map((strategy) => [
    strategyName(strategy),
    ...figures.map((figure) => {
      const value = figure.of(strategy.figures);
      const text = figureText(figure, value);
      return figure.broken && value > data.held_percent ? { bad: text } : text;
    }),
  ]);
  return table(caption, ["strategy", ...figures.map((f) => f.head)], rows);
}

function summaryTable(data, strategies) {
  const simulated = simulatedWord(data);
  const measured = strategies.some(decodesText) ? "bits/byte and KL are measured" : "the experts are those that recorded logits choose";
  const whose = simulated === "simulated" ? "" : ` of ${simulated.slice(0, 1)}`;
  const caption = simulated ? `Watts, joules, degrees and times${whose} are simulated; ${measured}.` : "Figures of the whole run.";
  return figuresTable(caption, data, strategies, figuresOf(strategies));
}

const TEXT_WORDS = "Against BASELINE: of bits/byte on the same bytes, with a 95 % interval over the choice of text " +
  "(bootstrap of whole pieces of documents). KL: of the predictions to BASELINE's.";
const SERVING_WORDS = "Goodput: tokens/s of the finished requests that were served within 5 % of the latency targets, by their own first token " +
  "and mean time between tokens; without such a target of all that finished. Batch: sequences of a decode step; waiting: requests in the queue; period: the shortest " +
  "from step to step that was decided; price: λ, the multiplier of the activation prices.";
const MASS_WORDS = "Kept mass: the share of a token's own top-k router probability that its experts hold; loss: the mean " +
  "over tokens and layers of −ln of it. A recorded router predicts nothing: it has no bits/byte.";

// What each strategy does that the readers of the table may not know.
function strategyWords(strategies) {
  const known = [...new Set(strategies.map((s) => turnOf(s.name).strategy))].filter((name) => KNOWN_STRATEGIES[name]);
  return element("p", { class: "below" }, known.map((name) => `${name}: ${KNOWN_STRATEGIES[name].words}.`).join(" "));
}

function definitions(data, strategies) {
  return element("p", { class: "below" },
    "Over the limit: share of the time in which the mean of the last second exceeds the target by more than 5 % " +
    `(temperature: by 1 °C). Above target: the same for the target itself. Start-up and transients included. A target counts as held up to ${data.held_percent} %. Settled: time from the first ` +
    "disturbance (from the start, where none comes) until that mean stays within 5 % (1 °C) of the target for 5 s. " +
    `Active experts: distinct ones a layer. ${strategies.some(decodesText) ? TEXT_WORDS : ""} ` +
    (strategies.every(decodesText) ? "" : MASS_WORDS) + (strategies.some((s) => s.figures.serving) ? " " + SERVING_WORDS : ""));
}

// Strategies that both runs have, figure by figure.
function comparisonTable(strategies) {
  const [a, b] = [0, 1].map((run) => strategies.filter((s) => s.run === run));
  const rows = [];
  for (const one of a) {
    const other = b.find((s) => s.name === one.name);
    if (!other) continue;
    rows.push({ group: one.name });
    for (const figure of [...figuresOf([one, other]), ...servingFigures([one, other])]) {
      const [x, y] = [figure.of(one.figures), figure.of(other.figures)];
      const both = Number.isFinite(x) && Number.isFinite(y) && x !== null && y !== null;
      rows.push([figure.head, figureText(figure, x), figureText(figure, y),
                 both ? signed(y - x, figure.digits, figure.unit) : "–",
                 both && x !== 0 && !figure.unit ? signed(100 * (y / x - 1), 1, " %") : "–"]);
    }
  }
  return rows.length === 0 ? element("p", {}, "The runs have no strategy in common.")
    : table("B against A, strategy by strategy", ["figure", "A", "B", "B − A", "relative"], rows);
}

function furtherTable(caption, strategies) {
  const percent = (value) => shown(value === null ? null : 100 * value, 1, " %");
  const target = (t) => `${TARGETS[t.kind].name}: ${shown(t.highest, TARGETS[t.kind].digits)} ${TARGETS[t.kind].unit}` +
    (t.best_held === null ? "" : ` (best held: ${shown(t.best_held, 1)})`);
  return table(caption, ["strategy", "highest 1 s mean", "top-1 agreement", "expert load, deviation / mean", "GPU busy",
                         "memory busy", "time fallen back", "ticks beyond the table", "peak memory, MiB"],
    strategies.map(({ figures: f, ...s }) => [strategyName(s), f.targets.map(target).join("; ") || "–", percent(f.top1_agreement),
      shown(f.expert_load_cv, 3), percent(f.gpu_util), percent(f.mem_util), percent(f.fallback_share),
      percent(f.extrapolated_share), shown(f.peak_memory_bytes === null ? null : f.peak_memory_bytes / 2 ** 20, 0)]));
}

function wordsTable(caption, head, rows) {
  const breaking = rows.map(([name, ...values]) => [breakable(name), ...values]);
  return table(caption, head, breaking, { class: "words" });
}
