// SPDX-License-Identifier: Apache-2.0
// Builds the page from the data that it carries.

function strategiesOf(data) {
  const others = [];
  const compared = data.runs.length === 2;
  const all = data.runs.flatMap((run, r) => run.strategies.map((strategy) => {
    const turn = turnOf(strategy.name);
    if (!KNOWN_STRATEGIES[turn.strategy] && !others.includes(turn.strategy)) others.push(turn.strategy);
    return { ...strategy, run: r, dash: compared ? RUN_DASHES[r] : ROUND_DASHES[(turn.round - 1) % ROUND_DASHES.length],
             look: lookOf(turn.strategy, others.indexOf(turn.strategy)),
             label: compared ? `${"AB"[r]}: ${strategy.name}` : strategy.name };
  }));
  all.forEach((strategy, index) => { strategy.index = index; });
  return all;
}

function longestTime(strategies) {
  let longest = 1;
  for (const strategy of strategies) {
    const times = [strategy.lines.time, ...Object.values(strategy.lines).map((line) => line.x)];
    for (const time of times) {
      if (time && time.length > 0) longest = Math.max(longest, time[time.length - 1]);
    }
  }
  return longest;
}

function figureElement(state, figure, strategies) {
  const simulated = figure.simulates ? simulatedWord(state.data) : "";
  const title = figure.title + (simulated && ` (${simulated})`);
  const key = figure.key();
  const rows = strategies.map((s) => [strategyName(s), ...key.row(s)]);
  const shaded = figure.timed ? shading(state.data) : [];
  const drawnAs = figure.thinned?.(strategies) ? "Thinned: each part of a line keeps its least and its most."
                                               : figure.drawnAs?.(strategies) || "";
  const hint = [figure.hint, drawnAs, ...shaded.map((d) => `Shaded ${brief(d.from)}–${brief(d.to)} s: ${d.words}.`)].filter(Boolean).join(" ");
  figure.div = element("div", {
    class: "plot", id: `plot-${figure.id}`, role: "img", tabindex: "0",
    "aria-label": `${title}. ${hint} The table below the plot has its key figures.` +
      (figure.timed ? " Keys: plus and minus zoom, left and right move, 0 resets." : ""),
  });
  figure.div.addEventListener("keydown", (event) => onKey(state, figure, event));
  return element("figure", { class: figure.half ? "half" : "" }, element("h3", {}, title),
    element("p", { class: "hint" }, hint), figure.div,
    element("details", {}, element("summary", {}, "Key figures"), table(`${title}: key figures`, key.head, rows)));
}

function buildPlots(state) {
  const sections = new Map();
  const figures = [...plainFigures(state.strategies), ...mapFigures()];
  state.figures = [];
  for (const figure of figures) {
    const strategies = figure.applies(state.strategies);
    if (strategies.length === 0) continue;
    state.figures.push(figure);
    if (!sections.has(figure.section)) {
      const made = element("section", {}, element("h2", {}, figure.section));
      if (figure.section === "Experts") made.append(layerChoice(state));
      made.append(element("div", { class: "grid" }));
      sections.set(figure.section, made);
      document.getElementById("plots").append(made);
    }
    sections.get(figure.section).lastChild.append(figureElement(state, figure, strategies));
  }
  for (const [kind, file] of [["load", "expert_usage.csv"], ["bias", "expert_bias.csv"]]) {
    if (state.figures.some((figure) => figure.id === kind)) continue;
    const recorded = state.strategies.some((s) => s[kind]);
    document.getElementById("plots").append(element("p", { class: "below" },
      recorded ? `Every expert ${kind} was zero: there is no map of it.`
               : `There is no map of the expert ${kind}: the run's folder holds no ${file}.`));
  }
}

function buildSummary(state) {
  const { data } = state;
  const section = document.getElementById("summary");
  section.append(summaryTable(data, state.strategies), servingTable(data, state.strategies), strategyWords(state.strategies),
                 definitions(data, state.strategies));
  if (data.runs.length === 2) {
    section.append(comparisonTable(state.strategies), element("h2", {}, "Settings that differ"),
      data.differing_settings.length > 0
        ? wordsTable("Settings of the two runs that differ", ["setting", "A", "B"], data.differing_settings)
        : element("p", {}, "None: the runs differ in nothing that config.json records."));
  }
  const list = document.getElementById("notes");
  for (const [r, run] of data.runs.entries()) {
    const label = data.runs.length === 2 ? `${"AB"[r]}: ` : "";
    for (const note of run.notes) list.append(element("li", {}, `${label}${note}.`));
  }
}

function buildSettings(state) {
  const { data } = state;
  const section = document.getElementById("settings");
  for (const [r, run] of data.runs.entries()) {
    const label = data.runs.length === 2 ? `${"AB"[r]}: ${run.name}: ` : "";
    const machine = [["machine", run.device || "not recorded"], ["costs", run.costs || "not recorded"],
                     ["seed", String(run.seed)], ["folder", run.folder],
                     ["hardware", run.simulated ? "simulated: watts, joules, degrees, times" : "real"],
                     ["report", `thermoe ${data.version}, plotly.js ${Plotly.version}`]];
    section.append(wordsTable(`${label}machine`, ["", ""], machine));
    section.append(furtherTable(`${label}further figures`, state.strategies.filter((s) => s.run === r)));
    const details = element("details", { open: "" }, element("summary", {}, `${label}settings (config.json)`));
    details.append(run.settings.length > 0 ? wordsTable(`${label}settings`, ["setting", "value"], run.settings)
                                           : element("p", {}, "There is no config.json."));
    section.append(details);
  }
}

function buildFooter(state) {
  const { data } = state;
  const thinned = state.strategies.some((s) => s.thinned);
  document.getElementById("footer").append(element("p", {},
    `Written by thermoe ${data.version}. Plots: plotly.js ${Plotly.version}, MIT licence, Plotly, Inc. ` +
    (thinned ? "Lines are thinned for drawing: each part keeps its smallest and largest value, so no peak is lost; " +
               "tables and key figures come from all ticks. "
             : "Lines show every tick. ") +
    "On a focused plot, + and − zoom, arrows move, 0 resets; a double click resets too."));
}

const data = JSON.parse(document.getElementById("data").textContent);
const strategies = strategiesOf(data);
const state = {
  data, strategies, hidden: new Set(), range: null, revision: 0, layer: null, figures: [],
  longest: longestTime(strategies), narrow: false,
};
bar(state);
themes(state);
buildSummary(state);
buildPlots(state);
buildSettings(state);
buildFooter(state);
printing(state);
drawAll(state).then(() => {
  for (const figure of state.figures) listen(state, figure);
  document.documentElement.dataset.ready = "yes";  // for tests: every plot is drawn
});
let wasNarrow = state.narrow;
addEventListener("resize", () => {
  const narrow = document.documentElement.clientWidth < 640;
  if (narrow !== wasNarrow) drawAll(state);
  wasNarrow = narrow;
});
