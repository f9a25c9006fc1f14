// SPDX-License-Identifier: Apache-2.0
// The page of a cost model: each table with its convex envelope, its fit, and what those leave over.

const LINE_LOOKS = [["--s-ttha", "circle"], ["--s-static", "diamond"], ["--s-opportunistic", "triangle-down"],
                    ["--s-reduced", "triangle-up"], ["--s-other-1", "x"], ["--s-other-2", "star"],
                    ["--s-other-0", "cross"], ["--s-baseline", "square"]];
const QUANTITIES = { latency_us: { name: "Latency", unit: "µs" }, energy_uj: { name: "Energy above idle", unit: "mJ", scale: 1e-3 } };
const ALONG = { tokens: "tokens", active_experts: "active experts" };

function lookOfLine(i) {
  const [colour, symbol] = LINE_LOOKS[i % LINE_LOOKS.length];
  return { colour: css(colour), symbol };
}

// Straight between its points, as the lookup has it: on logarithmic axes that is a bow, so points are
// put between.
function straight(line, logarithmic) {
  if (!logarithmic) return line;
  const x = [line.x[0]], y = [line.y[0]];
  const parts = 12;
  for (let i = 1; i < line.x.length; ++i) {
    for (let j = 1; j <= parts; ++j) {
      const at = j === parts ? line.x[i] : line.x[i - 1] * (line.x[i] / line.x[i - 1]) ** (j / parts);
      x.push(at);
      y.push(line.y[i - 1] + (line.y[i] - line.y[i - 1]) * (at - line.x[i - 1]) / (line.x[i] - line.x[i - 1]));
    }
  }
  return { x, y };
}

// Of how a line is drawn, once in the legend.
function legendOnly(name, dash, width) {
  return { type: "scatter", mode: "lines", name, x: [null], y: [null], hoverinfo: "skip",
           line: { color: css("--muted"), dash, width } };
}

function lineName(line) {
  return line.at === null ? "rows" : `${brief(line.at)} token${line.at === 1 ? "" : "s"}`;
}

function bendsText(line) {
  return line.bends.map((bend) => `${bend.text} (${bend.kind})`).join("; ") || "–";
}

function jumpShapes(chart) {
  return chart.lines.flatMap((line) => line.bends.filter((bend) => bend.kind !== "activation cost")).map((bend) => ({
    type: "rect", xref: "x", yref: "paper", x0: bend.from, x1: bend.to, y0: 0, y1: 1, layer: "below",
    fillcolor: css("--shade"), line: { width: 0 },
  }));
}

function costAxes(state, chart, yaxis, more = {}) {
  const logarithmic = chart.along === "tokens";
  return layout(state, {
    hovermode: "closest", height: 320, margin: { l: 56, r: 16, t: topMargin(state, 0), b: 76 },
    xaxis: axis(ALONG[chart.along], logarithmic ? { type: "log", dtick: "D1", tickformat: "~s", exponentformat: "none",
                                                    tickvals: ticksOf(chart), ticktext: ticksOf(chart).map(String) }
                                                : { rangemode: "tozero" }),
    yaxis, ...more,
  });
}

// The token counts that were profiled, but none that would lie on another's label.
function ticksOf(chart) {
  const all = [...new Set(chart.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  const apart = Math.max(2, (all[all.length - 1] / all[0]) ** (1 / 9));
  const kept = [];
  for (const x of all) {
    if (kept.length === 0 || x >= kept[kept.length - 1] * apart * 0.999) kept.push(x);
  }
  return kept;
}

// At least a factor of four: a table that hardly changes is not to look as if it did.
function logRange(chart) {
  const logs = chart.lines.flatMap((line) => line.y).filter((y) => y > 0).map(Math.log10);
  const [least, most] = [Math.min(...logs), Math.max(...logs)];
  const margin = Math.max(0.06 * (most - least), (Math.log10(4) - (most - least)) / 2);
  return [least - margin, most + margin];
}

function costFigure(table, t, chart) {
  const { name, unit } = QUANTITIES[chart.quantity];
  const logarithmic = chart.along === "tokens";
  const fitted = chart.lines.some((line) => line.fit);
  return {
    id: `${t}-${chart.quantity}`, title: `${name}, ${unit}`, half: true,
    hint: `Rows by ${ALONG[chart.along]}${logarithmic ? ", both axes logarithmic" : ", a line a batch"}; dashed: lower convex envelope` +
      `${fitted ? "; dotted: the fit that prices come from" : ""}.` +
      (jumpShapes(chart).length > 0 ? " Shaded: jumps." : ""),
    traces(state) {
      const lines = chart.lines.flatMap((line, i) => {
        const look = lookOfLine(i);
        const rows = { type: "scatter", mode: "markers", name: plain(lineName(line)), x: line.x, y: line.y,
                       marker: { color: look.colour, symbol: look.symbol, size: 8 },
                       hovertemplate: `%{x:.4~g} ${ALONG[chart.along]}: %{y:.4~g} ${unit}<extra>${plain(lineName(line))}</extra>` };
        const drawn = (from, dash, width) => ({ ...straight(from, logarithmic), type: "scatter", mode: "lines",
                                               showlegend: false, hoverinfo: "skip", line: { color: look.colour, dash, width } });
        return [drawn(line, "solid", 1.4), drawn(line.envelope, "dash", 2), rows,
                ...(line.fit ? [drawn({ x: line.x, y: line.fit }, "dot", 2)] : [])];
      });
      return [...lines, legendOnly("envelope", "dash", 2), ...(fitted ? [legendOnly("fit", "dot", 2)] : [])];
    },
    layout: (state) => costAxes(state, chart, axis(unit, logarithmic ? { type: "log", dtick: "D2", tickformat: "~g", range: logRange(chart) }
                                                                   : { rangemode: "tozero" }),
                              { shapes: jumpShapes(chart) }),
    key: () => ({
      wide: true, head: ["line", "rows", "least", "most", "above envelope", "at", "falls", "bends"],
      rows: chart.lines.map((line) => [lineName(line), String(line.x.length), brief(Math.min(...line.y)), brief(Math.max(...line.y)),
        shown(line.distance, 1, " %"), line.distance > 0 ? brief(line.distance_at) : "–", String(line.falls),
        bendsText(line)]),
    }),
  };
}

function residualFigure(table, t, chart) {
  const { name } = QUANTITIES[chart.quantity];
  const fitted = chart.lines.some((line) => line.fit);
  return {
    id: `${t}-${chart.quantity}-residuals`, title: `${name}: residuals, % of the row`, half: true,
    hint: (fitted ? "Solid: rows above (+) or below (−) the fit; dashed: " : "Dashed: ") + "rows above their convex envelope.",
    traces(state) {
      const lines = chart.lines.flatMap((line, i) => {
        const look = lookOfLine(i);
        const drawn = (y, dash, symbol, what, legend) => ({
          type: "scatter", mode: "lines+markers", name: plain(lineName(line)), x: line.x, y, showlegend: legend,
          line: { color: look.colour, dash, width: 1.6 }, marker: { color: look.colour, symbol, size: 8 },
          hovertemplate: `%{x:.4~g} ${ALONG[chart.along]}: %{y:.1f} %<extra>${plain(lineName(line))}, ${what}</extra>` });
        return [...(line.off_fit ? [drawn(line.off_fit, "solid", look.symbol, "fit", true)] : []),
                drawn(line.above_envelope, "dash", `${look.symbol}-open`, "envelope", !line.off_fit)];
      });
      const kinds = [...(fitted ? [legendOnly("against the fit", "solid", 1.6)] : []), legendOnly("against the envelope", "dash", 1.6)];
      return [...lines, ...kinds];
    },
    layout(state) {
      const most = Math.max(1, ...chart.lines.flatMap((line) => [...line.above_envelope, ...(line.off_fit || [])].map((v) => Math.abs(v || 0))));
      return costAxes(state, chart, axis("% of the row", { zeroline: true, zerolinecolor: css("--muted"),
                                                          range: [fitted ? -1.1 * most : -0.1 * most, 1.15 * most] }),
                      { showlegend: fitted || chart.lines.length > 1 });
    },
    key: () => ({
      head: ["line", ...(fitted ? ["largest against the fit"] : []), "largest above the envelope"],
      rows: chart.lines.map((line) => [lineName(line),
        ...(fitted ? [shown(Math.max(...line.off_fit.map(Math.abs)), 1, " %")] : []),
        shown(Math.max(...line.above_envelope), 1, " %")]),
    }),
  };
}

function costFigureElement(state, tableName, figure) {
  const key = figure.key();
  const title = `${tableName}: ${figure.title}`;
  figure.div = element("div", { class: "plot", id: `plot-${figure.id}`, role: "img", tabindex: "0",
                                "aria-label": `${title}. ${figure.hint} The table below the plot has its key figures.` });
  return element("figure", { class: "half" }, element("h3", {}, figure.title), element("p", { class: "hint" }, figure.hint),
    figure.div, element("details", {}, element("summary", {}, "Key figures"), table(`${title}: key figures`, key.head, key.rows, { class: key.wide ? "costs" : undefined })));
}

// In the unit that is shown.
function scaled(chart) {
  const factor = QUANTITIES[chart.quantity].scale || 1;
  const times = (values) => values.map((value) => factor * value);
  return { ...chart, lines: chart.lines.map((line) => ({
    ...line, y: times(line.y), envelope: { x: line.envelope.x, y: times(line.envelope.y) },
    ...(line.fit ? { fit: times(line.fit) } : {}) })) };
}

function buildTables(state) {
  state.data.tables.forEach((one, t) => {
    const section = element("section", { id: `table-${t}` }, element("h2", {}, one.name),
      element("p", { class: "below" }, `${one.rows} row${one.rows === 1 ? "" : "s"}, ${one.source}${one.method ? `: ${one.method}` : ""}.` +
        (one.charts.length === 0 ? " One row only: there is nothing to draw." : "")));
    const grid = element("div", { class: "grid" });
    for (const chart of one.charts.map(scaled)) {
      for (const figure of [costFigure(one, t, chart), residualFigure(one, t, chart)]) {
        state.figures.push(figure);
        grid.append(costFigureElement(state, one.name, figure));
      }
    }
    if (one.charts.length > 0) section.append(grid);
    document.getElementById("plots").append(section);
  });
}

function distanceCell(state, value) {
  const text = shown(value, 1, " %");
  return value !== null && value > state.data.threshold ? { bad: text } : text;
}

function firstBends(one) {
  const chart = one.charts.find((c) => c.quantity === "latency_us");
  if (!chart) return "–";
  const line = chart.lines.reduce((a, b) => (b.x.length > a.x.length ? b : a));
  return bendsText(line);
}

function buildOverview(state) {
  const rows = state.data.tables.map((one, t) => [element("a", { href: `#table-${t}` }, one.name), one.source, String(one.rows),
    distanceCell(state, one.worst_latency), distanceCell(state, one.worst_energy), firstBends(one)]);
  document.getElementById("summary").append(
    table(`Tables, and how far their worst line is above its convex envelope (marked above ${brief(state.data.threshold)} %)`,
      ["table", "source", "rows", "latency", "energy", "where its latency bends"], rows, { class: "costs" }),
    element("p", { class: "below" }, "The optimisation assumes that costs are convex and nondecreasing in load: the distance from the lower " +
      "convex envelope is how wrong that is. An activation cost is there before any load; jumps are named by what they look like: a tile " +
      "of tokens, or another wave of blocks on the processors."));
}

function buildOther(state) {
  const section = document.getElementById("settings");
  for (const other of state.data.other) {
    const rows = other.rows.map((row) => [brief(row.batch), row.graph_size === undefined ? "–" : String(row.graph_size),
      row.context === undefined ? "–" : brief(row.context), brief(row.latency_us / 1000),
      row.energy_uj === undefined ? "–" : brief(row.energy_uj / 1000),
      row.spread === undefined ? "–" : shown(100 * row.spread, 1, " %"),
      row.energy_spread === undefined ? "–" : shown(100 * row.energy_spread, 1, " %")]);
    section.before(element("section", {}, element("h2", {}, `${other.model} on ${other.engine}: a step beside its expert layers`),
      element("p", { class: "below" }, `${other.source}${other.method ? `: ${other.method}` : ""}.`),
      table("Costs beside the expert layers", ["batch", "graph size", "context", "latency, ms", "energy, mJ", "spread of latency", "of energy"], rows)));
  }
  const only = state.data.expert_layers_only;
  if (only.length > 0 || state.data.other.length === 0) {
    document.getElementById("notes").append(element("li", {},
      `Expert layers only${only.length > 0 ? ` of ${only.join(", ")}` : ""}: what attention, norms, the head and launch gaps cost is not known.`));
  }
  section.append(wordsTable("device and conditions", ["", ""], state.data.conditions));
}

function costBar(state) {
  state.themeButton = element("button", { type: "button", id: "theme" }, "Dark theme");
  const reset = element("button", { type: "button", id: "reset-zoom" }, "Reset zoom");
  reset.addEventListener("click", () => resetZoom(state));
  document.getElementById("bar").append(element("div", { class: "buttons" }, reset, state.themeButton));
}

const data = JSON.parse(document.getElementById("data").textContent);
const state = { data, figures: [], revision: 0, narrow: false, range: null };
costBar(state);
themes(state);
buildOverview(state);
buildTables(state);
buildOther(state);
document.getElementById("footer").append(element("p", {},
  `Written by thermoe ${data.version}. Plots: plotly.js ${Plotly.version}, MIT licence, Plotly, Inc. A double click in a plot resets its zoom.`));
printing(state);
drawAll(state).then(() => {
  for (const figure of state.figures) figure.div.on("plotly_doubleclick", () => { resetZoom(state); });
  document.documentElement.dataset.ready = "yes";  // for tests: every plot is drawn
});
let wasNarrow = state.narrow;
addEventListener("resize", () => {
  const narrow = document.documentElement.clientWidth < 640;
  if (narrow !== wasNarrow) drawAll(state);
  wasNarrow = narrow;
});
