// SPDX-License-Identifier: Apache-2.0
// The plots but for the expert maps. Each figure says what it needs of the strategies and makes its
// traces and layout from them; controls.js draws them and keeps them in step. `simulates`: the figure
// shows hardware, whose watts, degrees and times may be simulated; routing and losses never are.

const TIME_FIGURES = [
  { id: "power", section: "Power and temperature", title: "GPU power", line: "power", unit: "W", digits: 1,
    simulates: true, hint: "Mean of the last second, against the cap." },
  { id: "temperature", section: "Power and temperature", title: "GPU temperature", line: "temperature",
    unit: "°C", digits: 1, simulates: true, hint: "Die temperature." },
  { id: "step", section: "Time", title: "Step time", line: "step", unit: "ms", digits: 2, half: true, smooth: true,
    simulates: true, hint: "Mean duration of a decode step in each tick: what of it is counted stands with the costs." },
  { id: "between", section: "Serving", title: "Time between tokens", line: "between", unit: "ms", digits: 2, half: true,
    simulates: true, hint: "From a token of a sequence to its next, mean over the tokens." },
  { id: "between_p99", section: "Serving", title: "Time between tokens, 99th percentile", line: "between_p99", unit: "ms",
    digits: 2, half: true, simulates: true, hint: "Of each tick's tokens: steps that read prompts take longer." },
  { id: "first_p50", section: "Serving", title: "Time to first token, median", line: "first_p50", target: "first", unit: "ms", digits: 0,
    half: true, simulates: true, hint: "From a request's arrival, waiting included; of the last 10 s." },
  { id: "first_p99", section: "Serving", title: "Time to first token, 99th percentile", line: "first_p99", unit: "ms", digits: 0,
    half: true, simulates: true, hint: "Of the last 10 s: with few requests, the longest." },
  { id: "batch", section: "Serving", title: "Batch", line: "batch", unit: "sequences", digits: 1, half: true,
    simulates: true, zero: true, hint: "Sequences that a decode step held." },
  { id: "waiting", section: "Serving", title: "Queue", line: "waiting", unit: "requests", digits: 0, half: true,
    simulates: true, zero: true, hint: "Requests that waited for a place at the end of the tick." },
  { id: "period", section: "Serving", title: "Step period", line: "period", unit: "ms", digits: 2, half: true,
    zero: true, hint: "The shortest time from step to step that was decided; 0: as fast as it goes." },
  { id: "active", section: "Routing", title: "Active experts", line: "active", unit: "experts", digits: 1,
    half: true, smooth: true, hint: "Distinct experts with a token, mean over the layers." },
  { id: "lambda", section: "Routing", title: "Price λ", line: "lambda", unit: "", digits: 4, half: true, smooth: true,
    zero: true, hint: "The multiplier of the activation prices: 0 is plain routing." },
  { id: "nats", section: "Energy and quality", title: "Loss of router mass", line: "nats", unit: "nats", digits: 4,
    smooth: true, hint: "Mean over tokens and layers of −ln of the share of a token's own top-k probability that its experts hold." },
];

const LOSSES = {
  loss_total: { name: "total", colour: "--text", dash: "solid" },
  loss_power: { name: "power", colour: "--s-ttha", dash: "dash" },
  loss_temperature: { name: "temperature", colour: "--s-other-1", dash: "dot" },
  loss_latency: { name: "step time", colour: "--s-other-0", dash: "dashdot" },
  loss_throughput: { name: "throughput", colour: "--s-reduced", dash: "longdash" },
  loss_quality: { name: "quality", colour: "--s-static", dash: "longdashdot" },
};

const SMOOTH_SECONDS = 2;

// The plot library reads some markup in its texts: names from files are shown as they are.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function font(size = 12) {
  return { family: "system-ui, -apple-system, 'Segoe UI', sans-serif", size, color: css("--text") };
}

function axis(title, more = {}) {
  return {
    title: { text: title, font: font(12), standoff: 8 }, gridcolor: css("--grid"), zeroline: false,
    linecolor: css("--line"), tickfont: font(11), automargin: true, ...more,
  };
}

function layout(state, more = {}) {
  return {
    height: 340, autosize: true, font: font(12), margin: { l: 56, r: 16, t: topMargin(state, 0), b: 44 },
    paper_bgcolor: css("--panel"), plot_bgcolor: css("--panel"),
    hovermode: "x unified", uirevision: state.revision,
    hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--line"), font: font(11) },
    legend: { orientation: "h", x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom", font: font(11) },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--muted"), activecolor: css("--focus") },
    dragmode: state.narrow ? false : "zoom", ...more,
  };
}

// Room for the buttons, which narrow pages do without, and for rows of names of shaded times.
function topMargin(state, rows) {
  return (state.narrow ? 8 : 30) + 15 * rows;
}

// What was done to the machine, shaded and named. Two runs with the same disturbance shade it once.
function shading(data) {
  const seen = new Map();
  for (const [r, run] of data.runs.entries()) {
    for (const d of run.disturbances) {
      const key = `${d.from} ${d.to} ${d.words}`;
      seen.set(key, { ...d, runs: [...(seen.get(key)?.runs || []), "AB"[r]] });
    }
  }
  return [...seen.values()].map((d) => {
    const whose = d.runs.length < data.runs.length ? `${d.runs[0]}: ` : "";
    return { ...d, name: whose + d.name, words: whose + d.words };
  });
}

function shapes(state) {
  return shading(state.data).map((d) => ({
    type: "rect", xref: "x", yref: "paper", x0: d.from, x1: d.to, y0: 0, y1: 1, layer: "below",
    fillcolor: css("--shade"), line: { width: 0 },
  }));
}

// Names of the shaded times above the plot, on as many rows as keep them apart.
function shadeNames(state, width) {
  const ends = [];
  const scale = width / state.longest;
  const names = shading(state.data).sort((a, b) => a.from - b.from).map((d) => {
    const start = d.from * scale;
    let row = ends.findIndex((end) => end < start);
    if (row < 0) row = ends.length;
    ends[row] = start + 8 + 6.2 * d.name.length;
    return {
      text: plain(d.name), x: d.from, xref: "x", xanchor: "left", y: 1, yref: "paper", yanchor: "bottom",
      yshift: 15 * row, showarrow: false, borderpad: 1, font: { ...font(11), color: css("--muted") },
    };
  });
  return { names, rows: Math.max(1, ends.length) };
}

// The layout of a figure over time.
function timeLayout(state, figure, yaxis) {
  const width = Math.max(200, figure.div.clientWidth - 72);
  const { names, rows } = shadeNames(state, width);
  return layout(state, {
    margin: { l: 56, r: 16, t: topMargin(state, rows), b: 44 }, annotations: names, shapes: shapes(state), yaxis,
    xaxis: axis("time, s", { range: state.range || [0, state.longest], hoverformat: ".1f" }),
  });
}

// Mean of the last `seconds` of a line, made once.
function recentMean(time, line, seconds) {
  if (line.recent) return line.recent;
  line.recent = [];
  let from = 0, sum = 0, count = 0;
  const add = (value, sign) => {
    if (value === null) return;
    sum += sign * value;
    count += sign;
  };
  line.y.forEach((value, i) => {
    add(value, 1);
    for (; time[from] <= time[i] - seconds + 1e-6; ++from) add(line.y[from], -1);
    line.recent.push(count > 0 ? sum / count : null);
  });
  return line.recent;
}

// A noisy line: every tick faint, the mean of the last 2 s on top. A thinned line stays as it is: it
// holds the extremes only, and their mean would be none of the ticks'.
function noisyTraces(state, strategy, line, format, more = {}) {
  const time = timeOf(strategy, line);
  if (line.x) {
    const look = isThinned(line) ? { opacity: 0.6, line: { color: css(strategy.look.colour), width: 1, dash: strategy.dash } } : {};
    return [lineTrace(state, strategy, time, line.y, { hovertemplate: `%{y:${format}}`, ...look, ...more })];
  }
  const mean = recentMean(time, line, SMOOTH_SECONDS);
  const top = lineTrace(state, strategy, time, mean, {
    hovertemplate: `%{y:${format}} (tick %{customdata:${format}})`, customdata: line.y, ...more });
  const faint = { ...top, y: line.y, mode: "lines", showlegend: false, hoverinfo: "skip", hovertemplate: undefined,
                  customdata: undefined, opacity: 0.25, line: { ...top.line, width: 1, dash: "solid" } };
  return [faint, top];
}

// A trace in the look of its strategy; `meta` tells the legend which one it is.
function lineTrace(state, strategy, x, y, more = {}) {
  const colour = css(strategy.look.colour);
  return {
    type: "scatter", mode: "lines+markers", name: plain(strategy.label), x, y, meta: strategy.index,
    visible: state.hidden.has(strategy.index) ? "legendonly" : true, connectgaps: false,
    line: { color: colour, width: 1.8, dash: strategy.dash },
    marker: { color: colour, symbol: strategy.look.symbol, size: 7, maxdisplayed: 9 }, ...more,
  };
}

// Not a line that never changes, which is drawn from its two ends.
function isThinned(line) {
  return Boolean(line.x) && line.x.length > 2 && !line.each_second;
}

function timeOf(strategy, line) {
  return line.x || strategy.lines.time;
}

function targetTraces(state, kind) {
  const values = [...new Set(state.data.runs.map((run) => run.targets[kind]).filter((v) => v !== undefined))];
  const { name, unit } = TARGETS[kind] || {};
  return values.map((value) => ({
    type: "scatter", mode: "lines", name: `${name} cap ${brief(value)} ${unit}`, x: [0, state.longest],
    y: [value, value], hoverinfo: "skip", line: { color: css("--target"), width: 2, dash: "dash" },
  }));
}

function timeFigure(spec) {
  return {
    ...spec, timed: true,
    drawnAs: (strategies) => spec.smooth ? `Faint: every tick; strong: mean of ${SMOOTH_SECONDS} s.`
      : strategies.some((s) => s.lines[spec.line].each_second) ? "Mean of each second." : "",
    thinned: (strategies) => strategies.some((s) => isThinned(s.lines[spec.line])),
    applies: (strategies) => strategies.filter((s) => s.lines[spec.line]),
    traces(state) {
      const unit = spec.unit ? " " + spec.unit : "";
      const format = `.${spec.digits}f`;
      const lines = this.applies(state.strategies).flatMap((s) => {
        const line = s.lines[spec.line];
        return spec.smooth ? noisyTraces(state, s, line, format)
          : [lineTrace(state, s, timeOf(s, line), line.y, { hovertemplate: `%{y:${format}}${unit}` })];
      });
      return [...lines, ...targetTraces(state, spec.target || spec.line)];
    },
    layout(state) {
      return timeLayout(state, this, axis(spec.unit, { rangemode: spec.zero ? "tozero" : "normal" }));
    },
    key() {
      return { head: ["strategy", "mean", "least", "most", "last"],
               row: (s) => ["mean", "least", "most", "last"].map((k) => brief(s.lines[spec.line][k])) };
    },
  };
}

const distribution = {
  id: "distribution", section: "Time", title: "Distribution of step times", half: true, simulates: true,
  hint: "Share of the steps that took at most so long; each step counts with the mean of its tick.",
  applies: (strategies) => strategies.filter((s) => s.steps && s.steps.x.length > 0),
  traces(state) {
    return this.applies(state.strategies).map((s) => lineTrace(state, s, s.steps.x, s.steps.y, {
      line: { color: css(s.look.colour), width: 1.8, dash: s.dash, shape: "hv" },
      hovertemplate: "%{y:.1f} % took at most %{x:.2f} ms",
    }));
  },
  layout: (state) => layout(state, {
    hovermode: "closest",
    xaxis: axis("step time, ms"),
    yaxis: axis("% of the steps", { range: [0, 102] }),
  }),
  key: () => ({ head: ["strategy", "median, ms", "99th percentile, ms"],
                row: (s) => [shown(s.figures.p50_step_ms, 2), shown(s.figures.p99_step_ms, 2)] }),
};

// What energy is bought with: bits/byte where text was decoded, else what the router's tokens lose.
function tradeoffFigure(strategies) {
  const text = strategies.some(decodesText);
  const measure = text ? TEXT_FIGURES[0] : MASS_FIGURES[1];
  const of = (s) => measure.of(s.figures);
  return {
    id: "tradeoff", section: "Energy and quality", title: "Energy against quality", simulates: true,
    hint: "Whole run: lower left is better. Energy is that of the whole GPU; " +
      (text ? "bits/byte is measured on the decoded text." : "the loss is that of router mass, BASELINE's is 0."),
    applies: (all) => all.filter((s) => of(s) !== null),
    traces(state) {
      return this.applies(state.strategies).map((s) => lineTrace(
        state, s, [of(s)], [s.figures.joules_per_token], {
          mode: "markers",
          marker: { color: css(s.look.colour), symbol: s.look.symbol + (s.run === 1 ? "-open" : ""), size: 14,
                    line: { width: 2 } },
          hovertemplate: `${measure.head} %{x:.4f}, %{y:.3f} J/token`,
        }));
    },
    layout: (state) => layout(state, {
      hovermode: "closest",
      xaxis: axis(measure.head, { tickformat: ".3f", nticks: state.narrow ? 5 : 10 }),
      yaxis: axis("J/token", { rangemode: "tozero" }),
    }),
    key: () => ({ head: ["strategy", measure.head, "J/token"],
                  row: (s) => [shown(of(s), 4), shown(s.figures.joules_per_token, 3)] }),
  };
}

// Where a label may stand beside its mark, and what both cover as shares of the axes, which begin at 0: 59 by 13 and 14 by 14
// pixels on the smallest plot of either kind.
const LABEL_PLACES = { "top center": [0, 1], "bottom center": [0, -1], "middle right": [1, 0], "middle left": [-1, 0] };
const LABEL = { width: 0.12, height: 0.07 }, MARK = { width: 0.03, height: 0.08 };
const NARROW_LABEL = { width: 0.22, height: 0.09 }, NARROW_MARK = { width: 0.06, height: 0.1 };

// For each [x, y] the first place where nothing else stands; none where all are taken: the key below has the figures.
function labelPlaces(marks, narrow) {
  const [label, mark] = narrow ? [NARROW_LABEL, NARROW_MARK] : [LABEL, MARK];
  const most = [0, 1].map((i) => Math.max(...marks.map((m) => m[i])));
  const at = marks.map(([x, y]) => ({ x: x / most[0], y: y / most[1] }));
  const taken = at.map((one) => ({ ...one, ...mark }));
  const meet = (a, b) => Math.abs(a.x - b.x) < (a.width + b.width) / 2 - 1e-9 && Math.abs(a.y - b.y) < (a.height + b.height) / 2 - 1e-9;
  return at.map(({ x, y }) => {
    for (const [place, [right, up]] of Object.entries(LABEL_PLACES)) {
      const box = { ...label, x: x + right * (label.width + mark.width) / 2, y: y + up * (label.height + mark.height) / 2 };
      if (taken.some((other) => meet(box, other))) continue;
      taken.push(box);
      return place;
    }
    return null;
  });
}

// What an operator chooses between: watts, latency and quality, a mark a strategy.
const frontier = {
  id: "frontier", section: "Serving", title: "Watts, latency and quality", simulates: true,
  hint: "Whole run: lower left is better; beside each mark, where there is room, stands what its tokens lose of router mass.",
  applies: (strategies) => strategies.filter((s) => s.figures.serving && s.figures.serving.between && s.figures.mean_power_w !== null),
  traces(state) {
    const all = this.applies(state.strategies);
    const marks = all.map((s) => [s.figures.serving.between.mean, s.figures.mean_power_w]);
    const places = labelPlaces(marks, state.narrow);
    return all.map((s, i) => {
      const nats = `${shown(s.figures.quality_loss, 3)} nats`;
      return lineTrace(state, s, [marks[i][0]], [marks[i][1]], {
        mode: places[i] ? "markers+text" : "markers", text: [nats], textposition: places[i] || "top center",
        textfont: { ...font(11), color: css(s.look.colour) }, cliponaxis: false,
        marker: { color: css(s.look.colour), symbol: s.look.symbol + (s.run === 1 ? "-open" : ""), size: 14, line: { width: 2 } },
        hovertemplate: `%{x:.2f} ms between tokens, %{y:.1f} W, ${nats}`,
      });
    });
  },
  layout: (state) => layout(state, {
    hovermode: "closest",
    xaxis: axis("mean time between tokens, ms", { rangemode: "tozero" }),
    yaxis: axis("mean W", { rangemode: "tozero" }),
  }),
  key: () => ({ head: ["strategy", "mean W", "ms between tokens", "loss, nats"],
                row: (s) => [shown(s.figures.mean_power_w, 1), shown(s.figures.serving.between.mean, 2), shown(s.figures.quality_loss, 4)] }),
};

const losses = {
  id: "losses", section: "Adapter", title: "Losses of the adapter (TTHA)", timed: true,
  hint: "What update_ttha minimises, and its parts. Zero has no place on this axis: a part without a line was zero.",
  drawnAs: () => `Mean of ${SMOOTH_SECONDS} s.`, thinned: (strategies) => strategies.some((s) => isThinned(s.lines.loss_total)),
  applies: (strategies) => strategies.filter((s) => s.lines.loss_total),
  traces(state) {
    const adapting = this.applies(state.strategies);
    return adapting.flatMap((s) => Object.entries(LOSSES)
      .filter(([key]) => s.lines[key] && (s.lines[key].most !== 0 || s.lines[key].least !== 0))
      .map(([key, part]) => {
        const line = s.lines[key];
        const values = line.x ? line.y : recentMean(timeOf(s, line), line, SMOOTH_SECONDS);
        return lineTrace(state, s, timeOf(s, line), values.map((v) => (v > 0 ? v : null)), {
          mode: "lines", hovertemplate: "%{y:.3g}",
          name: adapting.length > 1 ? `${plain(s.label)}: ${part.name}` : part.name,
          line: { color: css(part.colour), dash: part.dash, width: s.run === 1 ? 1 : 1.6 },
        });
      }));
  },
  layout(state) {
    const most = Math.max(1e-6, ...this.applies(state.strategies).map((s) => s.lines.loss_total.most));
    return timeLayout(state, this, axis("loss (logarithmic)", {
      type: "log", dtick: 1, range: [Math.log10(most) - 4.5, Math.log10(most) + 0.3] }));
  },
  key: () => ({ head: ["strategy", "mean of total", "most", "last"],
                row: (s) => ["mean", "most", "last"].map((k) => brief(s.lines.loss_total[k])) }),
};

function plainFigures(strategies) {
  const timed = TIME_FIGURES.map(timeFigure);
  const of = (section) => timed.filter((figure) => figure.section === section);
  return [...of("Power and temperature"), frontier, ...of("Serving"), ...of("Time"), distribution, tradeoffFigure(strategies),
          ...of("Energy and quality"), ...of("Routing"), losses];
}
