// SPDX-License-Identifier: Apache-2.0
// What a reader can do: hide strategies, zoom, choose the theme and the layer, print. One state;
// every change draws the figures that show it again.

// The buttons are named one by one: the library's own choice has one that uploads the plot.
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];

function draw(state, figure) {
  return Plotly.react(figure.div, figure.traces(state), figure.layout(state), {
    responsive: true, displaylogo: false, scrollZoom: false, plotlyServerURL: "", modeBarButtons: [BUTTONS],
    displayModeBar: !state.narrow, doubleClick: false,
  });
}

function drawAll(state) {
  state.narrow = document.documentElement.clientWidth < 640;
  return Promise.all(state.figures.map((figure) => draw(state, figure)));
}

function setHidden(state, index, hidden) {
  if (hidden) state.hidden.add(index);
  else state.hidden.delete(index);
  state.boxes.forEach((box, i) => { box.checked = !state.hidden.has(i); });
  return drawAll(state);
}

// Time figures zoom together.
function setRange(state, range) {
  state.range = range;
  for (const figure of state.figures) {
    if (figure.timed) draw(state, figure);
  }
}

function resetZoom(state) {
  state.range = null;
  state.revision += 1;
  return drawAll(state);
}

function listen(state, figure) {
  figure.div.on("plotly_relayout", (change) => {
    if (!figure.timed) return;
    if (change["xaxis.autorange"]) setRange(state, null);
    const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (from !== undefined && to !== undefined) setRange(state, [Number(from), Number(to)]);
  });
  figure.div.on("plotly_doubleclick", () => { resetZoom(state); });
  if (figure.id === "losses") return;  // its legend shows parts, not strategies
  figure.div.on("plotly_legendclick", (event) => {
    const index = event.data[event.curveNumber].meta;
    if (index === undefined) return true;
    setHidden(state, index, !state.hidden.has(index));
    return false;
  });
  figure.div.on("plotly_legenddoubleclick", (event) => {
    const index = event.data[event.curveNumber].meta;
    if (index === undefined) return true;
    const alone = state.hidden.size === state.strategies.length - 1 && !state.hidden.has(index);
    state.hidden = new Set(alone ? [] : state.strategies.map((s) => s.index).filter((i) => i !== index));
    setHidden(state, index, false);
    return false;
  });
}

// Zooms the time axis around its middle (factor > 1: closer) and moves it by a share of its length.
function zoomTime(state, factor, shift = 0) {
  const [from, to] = state.range || [0, state.longest];
  const length = Math.min((to - from) / factor, state.longest);
  const wanted = (from + to) / 2 + shift * (to - from) - length / 2;
  const start = Math.min(Math.max(wanted, 0), state.longest - length);
  setRange(state, length >= state.longest ? null : [start, start + length]);
}

const KEYS = { "+": [1.6], "=": [1.6], "-": [1 / 1.6], ArrowLeft: [1, -0.25], ArrowRight: [1, 0.25] };

function onKey(state, figure, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "0") resetZoom(state);
  if (!figure.timed || !KEYS[event.key]) return;
  event.preventDefault();
  zoomTime(state, ...KEYS[event.key]);
}

function setTheme(state, theme) {
  document.documentElement.dataset.theme = theme;
  state.themeButton.textContent = theme === "dark" ? "Light theme" : "Dark theme";
}

function themes(state) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = false;
  setTheme(state, system.matches ? "dark" : "light");
  system.addEventListener("change", () => {
    if (chosen) return;
    setTheme(state, system.matches ? "dark" : "light");
    drawAll(state);
  });
  state.themeButton.addEventListener("click", () => {
    chosen = true;
    setTheme(state, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    drawAll(state);
  });
}

function printing(state) {
  let theme = null;
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    document.documentElement.classList.add("printing");
    setTheme(state, "light");
    for (const details of document.querySelectorAll("figure details")) details.open = true;
    drawAll(state);
    for (const figure of state.figures) Plotly.Plots.resize(figure.div);
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    for (const details of document.querySelectorAll("figure details")) details.open = false;
    setTheme(state, theme);
    drawAll(state);
  });
}

function bar(state) {
  const fieldset = element("fieldset", {}, element("legend", {}, "Strategies"));
  state.boxes = state.strategies.map((strategy) => {
    const box = element("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => setHidden(state, strategy.index, !box.checked));
    fieldset.append(element("label", {}, box, strategyName(strategy)));
    return box;
  });
  const button = (id, text, action) => {
    const made = element("button", { type: "button", id }, text);
    if (action) made.addEventListener("click", action);
    return made;
  };
  state.themeButton = button("theme", "Dark theme");
  document.getElementById("bar").append(fieldset, element("div", { class: "buttons" },
    button("zoom-in", "Zoom in", () => zoomTime(state, 1.6)),
    button("zoom-out", "Zoom out", () => zoomTime(state, 1 / 1.6)),
    button("reset-zoom", "Reset zoom", () => resetZoom(state)), state.themeButton));
}

function layerChoice(state) {
  const counts = state.strategies.flatMap((s) => [s.load, s.bias]).filter(Boolean).map((map) => map.layers.length);
  const select = element("select", { id: "layer" }, element("option", { value: "" }, "all layers, whole run"));
  for (let l = 0; l < Math.max(0, ...counts); ++l) {
    select.append(element("option", { value: l }, `layer ${l} over time`));
  }
  select.addEventListener("change", () => {
    state.layer = select.value === "" ? null : Number(select.value);
    state.revision += 1;  // the axes now stand for something else
    for (const figure of state.figures) {
      if (figure.map) draw(state, figure);
    }
  });
  return element("p", { class: "choice" }, element("label", { for: "layer" }, "Show"), select);
}
