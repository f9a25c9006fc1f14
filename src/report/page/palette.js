// SPDX-License-Identifier: Apache-2.0
// How a strategy looks (a colour, a marker, and a dash: in a comparison for the run, else for the round) and what it does.

const KNOWN_STRATEGIES = {
  BASELINE: { colour: "--s-baseline", symbol: "square", words: "plain top-k" },
  STATIC_OPTIMAL: { colour: "--s-static", symbol: "diamond", words: "prices calibrated once, then fixed" },
  KERNEL_AWARE_TTHA: { colour: "--s-ttha", symbol: "circle", words: "prices that follow what is measured" },
  REDUCED_K: { colour: "--s-reduced", symbol: "triangle-up",
               words: "a rival under the same controller: fewer experts a token" },
  OPPORTUNISTIC: { colour: "--s-opportunistic", symbol: "triangle-down",
                   words: "a rival under the same controller: tokens keep their best few experts and fill up from those that the batch keeps (OEA)" },
  PRICE_ALONE: { colour: "--s-other-0", symbol: "star", words: "prices as KERNEL_AWARE_TTHA does, and never paces" },
  PACING_ALONE: { colour: "--s-other-1", symbol: "x", words: "lengthens the step period as far as the cap needs and latency allows, and never prices" },
  LARGER_BATCH: { colour: "--s-other-2", symbol: "cross", words: "BASELINE on an engine that may take more sequences" },
};
const OTHER_SYMBOLS = ["star", "x", "cross", "pentagon"];
const RUN_DASHES = ["solid", "dot"];
const ROUND_DASHES = ["solid", "dot", "dash", "dashdot", "longdash"];  // and from the first again
const SWATCH_DASHES = { dot: "3 3", dash: "6 3", dashdot: "7 2 2 2", longdash: "10 3" };

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// "BASELINE #2" is the strategy BASELINE in the second round.
function turnOf(name) {
  const [, strategy, round] = /^(.*?)(?: #([2-9]|[1-9]\d+))?$/s.exec(name);
  return { strategy, round: Number(round || 1) };
}

// The look of the strategy `name`, which is the `other`-th of those that are not known.
function lookOf(name, other) {
  const i = other % OTHER_SYMBOLS.length;
  return KNOWN_STRATEGIES[name] || { colour: `--s-other-${i}`, symbol: OTHER_SYMBOLS[i] };
}

// A line with its marker, as it is drawn in the plots.
const MARKS = {
  square: "M8.5 2.5h9v9h-9z",
  diamond: "M13 1l6 6-6 6-6-6z",
  circle: "M13 2a5 5 0 1 0 .01 0z",
  "triangle-up": "M13 1.5l6 10.5H7z",
  "triangle-down": "M13 12.5L7 2h12z",
  cross: "M11.500 1.500h3v4h4v3h-4v4h-3v-4h-4v-3h4z",
  star: "M13 0l2 5 5 .3-4 3.300 1.300 5L13 11l-4.300 2.600L10 8.600l-4-3.300 5-.3z",
  x: "M8 4l2-2 3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3z",
  pentagon: "M13 1l6 4.500-2.300 7H9.300L7 5.500z",
};

function swatch(strategy) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("viewBox", "0 0 26 14");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", "M0 7h26");
  line.setAttribute("style", `stroke: var(${strategy.look.colour}); stroke-width: 2.5`);
  const dashes = SWATCH_DASHES[strategy.dash];
  if (dashes) line.setAttribute("stroke-dasharray", dashes);
  const mark = document.createElementNS(space, "path");
  mark.setAttribute("d", MARKS[strategy.look.symbol]);
  mark.setAttribute("style", `fill: var(${strategy.look.colour})`);
  svg.append(line, mark);
  return svg;
}
