#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser, without a network: no complaint, every plot drawn, controls that
work, wide and narrow, light and dark. Screenshots stay in the build tree.

THERMOE_REPORT_WRITER: the built tests/report/report_writer. THERMOE_SCREENSHOTS: where they go.
THERMOE_BROWSER: a Chromium or Chrome, if it is not in PATH.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from report_browser import Browser, find_browser

WRITER = os.environ.get("THERMOE_REPORT_WRITER")
SCREENSHOTS = Path(os.environ.get("THERMOE_SCREENSHOTS", tempfile.gettempdir()))
BROWSER = find_browser()

# Marks of each plot: drawn lines, points, or the picture of a heat map.
LINES = ".scatterlayer .js-line"
POINTS = ".scatterlayer .point"
HEAT = ".heatmaplayer image"
PLOTS = {"power": LINES, "temperature": LINES, "step": LINES, "distribution": LINES, "tradeoff": POINTS,
         "active": LINES, "lambda": LINES, "losses": LINES, "load": HEAT, "bias": HEAT}
TRACE_PLOTS = {**PLOTS, "nats": LINES}  # of a recorded router
SERVING_PLOTS = {**TRACE_PLOTS, "frontier": POINTS,
                 **dict.fromkeys(("between", "between_p99", "first_p50", "first_p99", "batch", "waiting", "period"), LINES)}

# Of each plot: how many marks have an extent, and whether any text was drawn as "undefined" or "NaN".
MARKS = """(() => Object.fromEntries([...document.querySelectorAll(".plot")].map((plot) => {
  const selector = %s[plot.id.slice(5)];
  const marks = [...plot.querySelectorAll(selector)].filter((mark) => {
    const box = mark.getBoundingClientRect();
    return box.width > 1 && box.height >= 0;
  });
  const texts = [...plot.querySelectorAll("text")].map((text) => text.textContent);
  return [plot.id.slice(5), { marks: marks.length, bad: texts.filter((t) => /undefined|NaN/.test(t)),
                              width: plot.getBoundingClientRect().width }];
})))()"""

# Elements that stick out of the page sideways, but for what scrolls on its own.
OVERFLOW = """[...document.querySelectorAll("body *")].filter((one) =>
  !one.closest(".scroll, svg, .skip") && one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.tagName + "#" + one.id + "." + one.className)"""

# Labels of the frontier that another one overlaps.
MET_LABELS = """(() => {
  const boxes = [...document.querySelectorAll("#plot-frontier .textpoint text")].map((text) => text.getBoundingClientRect());
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom).map((b) => [a.left, a.top, b.left, b.top]));
})()"""

# Pixels of the summary's table that only scrolling shows.
HIDDEN = "(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(document.querySelector('#summary .scroll'))"


def write(*words):
    subprocess.run([WRITER, *map(str, words)], check=True)


@unittest.skipUnless(WRITER, "THERMOE_REPORT_WRITER names no report_writer")
@unittest.skipUnless(BROWSER, "no Chromium or Chrome in PATH (tools/setup --browser installs one)")
class ReportPageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="report_page.")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = Path(cls.scratch.name)
        for kind in ("plain", "other", "trace", "serving", "rounds", "real", "hostile", "killed"):
            write("sample", kind, cls.folder / kind)
            write("report", cls.folder / f"{kind}.html", cls.folder / kind)
        write("report", cls.folder / "comparison.html", cls.folder / "plain", cls.folder / "other")
        write("report", cls.folder / "unlike.html", cls.folder / "plain", cls.folder / "trace")
        write("report", cls.folder / "mixed.html", cls.folder / "plain", cls.folder / "real")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        cls.browser = cls.enterClassContext(Browser(BROWSER)) if hasattr(cls, "enterClassContext") \
            else cls.started(Browser(BROWSER))

    @classmethod
    def started(cls, browser):  # before Python 3.11
        cls.addClassCleanup(browser.__exit__)
        return browser

    def open(self, name, width=1200, dark=False):
        page = self.browser.open(self.folder / f"{name}.html", width, dark)
        self.addCleanup(page.close)
        return page

    def assert_quiet(self, page):
        self.assertEqual(page.complaints(), [])
        self.assertEqual(page.requests(), [], "the page asked the network for something")

    def assert_drawn(self, page, names=PLOTS):
        marks = page.evaluate(MARKS % ("(" + repr(SERVING_PLOTS) + ")"))
        self.assertEqual(set(marks), set(names))
        for name, found in marks.items():
            self.assertGreater(found["marks"], 0, f"{name} drew nothing")
            self.assertEqual(found["bad"], [], name)
            self.assertGreater(found["width"], 200, name)
        return marks

    def test_every_plot_draws_at_every_width_and_theme_without_a_complaint(self):
        for width in (1200, 400):
            for dark in (False, True):
                with self.subTest(width=width, dark=dark):
                    page = self.open("plain", width, dark)
                    marks = self.assert_drawn(page)
                    self.assertGreaterEqual(marks["power"]["marks"], 4, "three strategies and the cap")
                    self.assertEqual(page.evaluate("document.documentElement.dataset.theme"),
                                     "dark" if dark else "light")
                    self.assertEqual(page.evaluate(OVERFLOW), [], "the page scrolls sideways")
                    if width == 1200:
                        self.assertLessEqual(page.evaluate(HIDDEN), 0, "the summary's table is cut off")
                    page.screenshot(SCREENSHOTS / f"report_{width}_{'dark' if dark else 'light'}.png")
                    self.assert_quiet(page)

    def test_a_recorded_router_has_nats_in_the_place_of_bits(self):
        for width in (1200, 400):
            with self.subTest(width=width):
                page = self.open("trace", width)
                self.assert_drawn(page, TRACE_PLOTS)
                self.assertEqual(page.evaluate(OVERFLOW), [], "the page scrolls sideways")
                words = page.evaluate("document.getElementById('summary').textContent")
                for word in ("kept mass", "loss, nats", "96.99 %", "0.0301", "predicts nothing"):
                    self.assertIn(word, words)
                for word in ("KL", "against BASELINE", "bits/byte and"):
                    self.assertNotIn(word, words)
                self.assertIn("at a loss of 0.0301 nats", page.evaluate("document.querySelector('.verdict').textContent"))
                axis = "document.getElementById('plot-tradeoff').layout.xaxis.title.text"
                self.assertEqual(page.evaluate(axis), "loss, nats")
                page.screenshot(SCREENSHOTS / f"report_trace_{width}.png")
                self.assert_quiet(page)

    def test_an_engine_under_arrivals_has_latency_batch_queue_period_and_its_frontier(self):
        for width in (1200, 390):
            for dark in (False, True):
                with self.subTest(width=width, dark=dark):
                    page = self.open("serving", width, dark)
                    marks = self.assert_drawn(page, SERVING_PLOTS)
                    self.assertEqual(marks["frontier"]["marks"], 3, "a mark a strategy")
                    self.assertEqual(page.evaluate(OVERFLOW), [], "the page scrolls sideways")
                    words = page.evaluate("document.getElementById('summary').textContent")
                    for word in ("goodput", "between tokens", "first token", "waiting", "period, ms", "PACING_ALONE"):
                        self.assertIn(word, words)
                    traces = page.evaluate("document.getElementById('plot-frontier').data.map((t) => [t.x[0], t.y[0], t.text[0]])")
                    self.assertAlmostEqual(traces[0][0], 11 + 3 * 19 / 199, 3)
                    self.assertEqual(traces[0][2], "0.000 nats")
                    self.assertEqual(page.evaluate(MET_LABELS), [], "labels stand on one another")
                    self.assertIn("24", " ".join(page.evaluate("document.getElementById('plot-between').data.map((t) => t.name)")))
                    page.screenshot(SCREENSHOTS / f"report_serving_{width}_{'dark' if dark else 'light'}.png")
                    self.assert_quiet(page)

    def test_a_strategy_looks_alike_in_every_round_and_its_rounds_are_told_apart(self):
        page = self.open("rounds")
        self.assert_drawn(page)
        looks = page.evaluate("state.strategies.map((s) => [s.name, s.look.colour, s.look.symbol, s.dash])")
        first, second = looks[:3], looks[3:]
        self.assertEqual([name for name, *_ in second], [name + " #2" for name, *_ in first])
        self.assertEqual([look for _, *look, _ in second], [look for _, *look, _ in first])
        self.assertEqual([dash for *_, dash in looks], ["solid"] * 3 + ["dot"] * 3)
        words = page.evaluate("document.getElementById('summary').textContent")
        self.assertEqual(words.count("prices that follow what is measured"), 1)
        page.screenshot(SCREENSHOTS / "report_rounds.png")
        self.assert_quiet(page)

    def test_a_run_of_text_and_one_of_a_recorded_router_compare(self):
        page = self.open("unlike")
        self.assert_drawn(page, TRACE_PLOTS)
        words = page.evaluate("document.getElementById('summary').textContent")
        for word in ("bits/byte", "loss, nats"):
            self.assertIn(word, words)
        self.assert_quiet(page)

    def test_a_network_request_would_be_refused_and_noticed(self):
        page = self.open("plain")
        page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
        self.assertIn("Content Security Policy", " ".join(page.complaints()))

    def test_killed_and_hostile_runs_draw_too(self):
        for name in ("killed", "hostile"):
            with self.subTest(name):
                page = self.open(name)
                self.assert_drawn(page)
                self.assertNotEqual(page.evaluate("document.title"), "broken")
                self.assertEqual(page.evaluate("document.querySelectorAll('b, figure script').length"), 0)
                page.screenshot(SCREENSHOTS / f"report_{name}.png")
                self.assert_quiet(page)

    def test_what_is_measured_is_not_called_simulated(self):
        page = self.open("real")
        words = page.evaluate("document.title + document.body.innerText")
        self.assertNotIn("simulated", words.lower())
        self.assertIn("of the time its energy is not known", words)
        self.assert_drawn(page)
        page.screenshot(SCREENSHOTS / "report_real.png")
        self.assert_quiet(page)
        mixed = self.open("mixed")
        words = mixed.evaluate("document.title + document.body.innerText")
        self.assertIn("sample against real (A simulated)", words)
        self.assertIn("times of A are simulated", words)
        self.assertNotIn("(simulated)", words)
        mixed.screenshot(SCREENSHOTS / "comparison_mixed.png")
        self.assert_quiet(mixed)

    def test_a_comparison_overlays_two_runs_and_lists_what_differs(self):
        page = self.open("comparison")
        marks = self.assert_drawn(page)
        self.assertGreaterEqual(marks["power"]["marks"], 8, "two runs of three strategies, two caps")
        self.assertIn("experiment/targets/power_w", page.evaluate("document.getElementById('summary').textContent"))
        page.screenshot(SCREENSHOTS / "comparison.png")
        self.assert_quiet(page)

    def test_the_strategy_boxes_act_on_every_plot_by_keyboard(self):
        page = self.open("plain")
        before = page.evaluate(MARKS % ("(" + repr(TRACE_PLOTS) + ")"))
        page.evaluate("document.querySelector('#bar input').focus()")
        page.key(" ")
        page.wait_for("!document.querySelector('#bar input').checked && state.hidden.has(0)")
        page.wait_for("document.querySelectorAll('#plot-load .heatmaplayer image').length === 2")
        after = page.evaluate(MARKS % ("(" + repr(TRACE_PLOTS) + ")"))
        for name in PLOTS:
            if name != "losses":  # BASELINE adapts nothing
                self.assertLess(after[name]["marks"], before[name]["marks"], name)
        page.key(" ")
        page.wait_for("state.hidden.size === 0")
        page.wait_for("document.querySelectorAll('#plot-load .heatmaplayer image').length === 3")
        self.assertEqual(page.evaluate(MARKS % ("(" + repr(TRACE_PLOTS) + ")")), before)
        self.assert_quiet(page)

    def test_a_click_in_a_legend_toggles_the_strategy_everywhere(self):
        page = self.open("plain")
        page.click("#plot-power .legendtoggle")
        page.wait_for("!document.querySelector('#bar input').checked")
        self.assert_quiet(page)

    def test_time_plots_zoom_together_and_reset(self):
        page = self.open("plain")
        reach = "JSON.stringify(document.getElementById('plot-%s').layout.xaxis.range)"
        whole = page.evaluate(reach % "power")
        page.evaluate("document.getElementById('plot-power').focus()")
        page.key("+")
        page.wait_for("state.range !== null")
        self.assertNotEqual(page.evaluate(reach % "power"), whole)
        self.assertEqual(page.evaluate(reach % "power"), page.evaluate(reach % "losses"))
        page.key("ArrowRight")
        page.key("0")
        page.wait_for("state.range === null")
        self.assertEqual(page.evaluate(reach % "temperature"), whole)
        page.click("#zoom-in")
        page.click("#reset-zoom")
        self.assertEqual(page.evaluate(reach % "power"), whole)
        self.assert_quiet(page)

    def test_a_layer_can_be_looked_at_over_time(self):
        page = self.open("plain")
        page.evaluate("(() => { const s = document.getElementById('layer'); s.value = '1';"
                      " s.dispatchEvent(new Event('change')); })()")
        page.wait_for("document.getElementById('plot-load').layout.xaxis.title.text === 'time, s'")
        self.assert_drawn(page)
        page.screenshot(SCREENSHOTS / "report_layer.png")
        self.assert_quiet(page)

    def test_the_theme_button_and_print_redraw_everything(self):
        page = self.open("plain")
        page.click("#theme")
        page.wait_for("document.documentElement.dataset.theme === 'dark'")
        self.assert_drawn(page)
        pages = page.command("Page.printToPDF", printBackground=True)["data"]
        self.assertGreater(len(pages), 50_000, "an empty print")
        self.assertEqual(page.evaluate("document.documentElement.dataset.theme"), "dark", "restored")
        self.assert_drawn(page)
        self.assert_quiet(page)

    def test_every_plot_has_a_name_a_description_and_key_figures(self):
        page = self.open("plain")
        for name in PLOTS:
            self.assertGreater(len(page.evaluate(f"document.getElementById('plot-{name}').ariaLabel")), 30)
            rows = page.evaluate(
                f"document.getElementById('plot-{name}').parentElement.querySelectorAll('details tbody tr').length")
            self.assertGreaterEqual(rows, 1, name)
        nameless = ("[...document.querySelectorAll('input, button, select')].filter((one) => !one.labels?.length &&"
                    " !one.textContent.trim() && !one.ariaLabel && !one.dataset.title).length")
        self.assertEqual(page.evaluate(nameless), 0)

    def test_no_button_uploads_a_plot(self):
        page = self.open("plain")
        titles = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title)")
        self.assertGreater(len(titles), 0)
        self.assertNotRegex(" ".join(titles).lower(), "cloud|share|plotly|edit")

    def test_hovering_shows_the_values_of_all_strategies(self):
        page = self.open("plain")
        page.hover("#plot-power .nsewdrag")
        page.wait_for("document.querySelectorAll('#plot-power .hoverlayer text').length > 0")
        text = page.evaluate("document.querySelector('#plot-power .hoverlayer').textContent")
        for word in ("BASELINE", "STATIC_OPTIMAL", "KERNEL_AWARE_TTHA", "W"):
            self.assertIn(word, text)
        self.assert_quiet(page)


if __name__ == "__main__":
    unittest.main()
