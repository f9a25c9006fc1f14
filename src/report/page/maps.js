// SPDX-License-Identifier: Apache-2.0
// Heat maps of the experts: every layer over the whole run, or one layer over time. One row of the
// figure a strategy, so that they compare at a glance.

function mapColours(kind) {
  if (kind === "load") return "Viridis";
  return [[0, css("--diverging-low")], [0.5, css("--grid")], [1, css("--diverging-high")]];
}

// Rows of the chosen view, top to bottom, and what its axes stand for.
function mapView(map, layer) {
  const experts = [...Array(map.experts).keys()];
  const scaled = (row) => row.map((value) => value * map.scale);
  if (layer === null) {
    return { x: experts, y: map.layers.map((_, l) => l), z: map.layers.map((one) => scaled(one.whole)),
             words: "layer %{y}, expert %{x}" };
  }
  const spans = map.layers[layer].spans.map(scaled);
  const z = experts.map((e) => spans.map((row) => row[e]));
  const x = spans.map((_, i) => (i + 0.5) * map.span_s);
  return { x, y: experts, z, words: "%{x} s, expert %{y}" };
}

// The value that all but the largest hundredth stay below: a single busy expert would leave the
// rest of the map dark.
function nearlyMost(rows) {
  const all = rows.flat().map(Math.abs).sort((a, b) => a - b);
  return all.length > 0 ? all[Math.floor(0.99 * (all.length - 1))] : 0;
}

function mapFigure(kind, title, hint, unit) {
  return {
    id: kind, section: "Experts", title, hint, map: true,
    applies: (strategies) => (strategies.some((s) => s[kind] && s[kind].most > 0) ? strategies.filter((s) => s[kind]) : []),
    rows(state) {
      const drawn = this.applies(state.strategies).filter((s) => !state.hidden.has(s.index));
      return drawn.filter((s) => state.layer === null || state.layer < s[kind].layers.length);
    },
    traces(state) {
      return this.rows(state).map((s, i) => {
        const view = mapView(s[kind], state.layer);
        return {
          type: "heatmap", x: view.x, y: view.y, z: view.z, coloraxis: "coloraxis", meta: s.index,
          xaxis: "x", yaxis: i === 0 ? "y" : `y${i + 1}`,
          hovertemplate: `${view.words}<br>${unit}<extra>${plain(s.label)}</extra>`,
        };
      });
    },
    layout(state) {
      const rows = this.rows(state);
      const layers = rows.length > 0 ? Math.max(...rows.map((s) => s[kind].layers.length)) : 1;
      const height = state.layer === null ? Math.max(56, Math.min(14 * layers, 260)) : 150;
      const edges = topMargin(state, 0) + 96;
      const total = rows.length * (height + 26) + edges;
      const made = layout(state, {
        height: total, hovermode: "closest", margin: { l: 56, r: 16, t: topMargin(state, 0), b: 96 }, annotations: [],
        xaxis: axis(state.layer === null ? "expert" : "time, s", { anchor: `y${rows.length > 1 ? rows.length : ""}`, showgrid: false }),
      });
      const room = total - edges;
      rows.forEach((s, i) => {
        const top = 1 - (i * (height + 26) + 22) / room;
        made[i === 0 ? "yaxis" : `yaxis${i + 1}`] = axis(state.layer === null ? "layer" : "expert", {
          domain: [Math.max(0, top - height / room), top], autorange: "reversed", showgrid: false,
          dtick: state.layer === null && layers <= 8 ? 1 : undefined,
        });
        made.annotations.push({ text: plain(s.label), xref: "paper", yref: "paper", x: 0, y: top, xanchor: "left",
                                yanchor: "bottom", showarrow: false, font: font(12) });
      });
      const most = Math.max(1e-9, kind === "load" ? nearlyMost(rows.flatMap((s) => mapView(s[kind], state.layer).z))
                                                  : Math.max(...rows.map((s) => s[kind].most)));
      made.coloraxis = {
        colorscale: mapColours(kind), cmin: kind === "load" ? 0 : -most, cmax: most,
        colorbar: { orientation: "h", thickness: 10, len: 0.7, x: 0.5, y: 0, yref: "container", yanchor: "bottom",
                    tickfont: font(11), outlinewidth: 0, nticks: 6 },
      };
      return made;
    },
    key() {
      const most = (s, better) => {
        let best = null;
        s[kind].layers.forEach((layer, l) => layer.whole.forEach((value, e) => {
          if (best === null || better(value, best.value)) best = { value, l, e };
        }));
        return best === null ? "–" : `${brief(best.value * s[kind].scale)} (layer ${best.l}, expert ${best.e})`;
      };
      return { head: ["strategy", "largest", "smallest"],
               row: (s) => [most(s, (a, b) => a > b), most(s, (a, b) => a < b)] };
    },
  };
}

function mapFigures() {
  return [
    mapFigure("load", "Load of the experts",
              "Tokens of each expert over those of the layer's mean expert: 1 is an even share. The colours end where all but 1 % of the values do.", "%{z:.2f} of an even share"),
    mapFigure("bias", "Biases of the experts",
              "What the controller subtracts from an expert's utility: positive biases push tokens away. In units of utility.", "bias %{z:.4f}"),
  ];
}
