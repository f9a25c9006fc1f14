#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of a cost model in a real browser, as report_page_test.py has the report.

THERMOE_COST_PAGE_WRITER: the built tests/report/cost_page_writer; the rest as there.
"""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from report_browser import Browser, find_browser
from report_page_test import OVERFLOW, SCREENSHOTS

BROWSER = find_browser()
WRITER = os.environ.get("THERMOE_COST_PAGE_WRITER")
SHIPPED = Path(__file__).resolve().parents[2] / "data" / "h100" / "kernel_cost_model.json"

# Of each plot: drawn lines, points, and texts that no number became.
DRAWN = """[...document.querySelectorAll(".plot")].map((plot) => ({
  id: plot.id, lines: plot.querySelectorAll(".scatterlayer .js-line").length,
  points: plot.querySelectorAll(".scatterlayer .point").length,
  ticks: plot.querySelectorAll(".ytick text, .y2tick text").length,
  bad: [...plot.querySelectorAll("text")].map((t) => t.textContent).filter((t) => /undefined|NaN|null/.test(t)) }))"""


@unittest.skipUnless(WRITER, "THERMOE_COST_PAGE_WRITER names no cost_page_writer")
@unittest.skipUnless(BROWSER, "no Chromium or Chrome in PATH (tools/setup --browser installs one)")
class CostPageTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="cost_page.")
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.model = json.loads(SHIPPED.read_text(encoding="utf-8"))
        self.browser = Browser(BROWSER)
        self.addCleanup(self.browser.__exit__)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def open(self, width=1200, dark=False):
        file, page = self.folder / "m.json", self.folder / "m.html"
        file.write_text(json.dumps(self.model), encoding="utf-8")
        subprocess.run([WRITER, page, file], check=True)
        return self.browser.open(page, width, dark)

    def assert_quiet(self, page):
        self.assertEqual(page.complaints(), [])
        self.assertEqual(page.requests(), [], "the page asked the network for something")

    def test_every_table_draws_its_rows_envelope_and_residuals_wide_and_narrow_light_and_dark(self):
        joules = sum("energy_uj" in entry["rows"][0] for entry in self.model["entries"])
        plots = 2 * (len(self.model["entries"]) + joules)
        for width in (1200, 400):
            for dark in (False, True):
                with self.subTest(width=width, dark=dark):
                    page = self.open(width, dark)
                    drawn = page.evaluate(DRAWN)
                    self.assertEqual(len(drawn), plots)
                    for plot in drawn:
                        self.assertGreater(plot["lines"], 0, plot)
                        self.assertGreater(plot["points"], 1, plot)
                        self.assertGreater(plot["ticks"], 1, plot)
                        self.assertEqual(plot["bad"], [])
                    self.assertEqual(page.evaluate(OVERFLOW), [], "the page scrolls sideways")
                    page.screenshot(SCREENSHOTS / f"costs_{width}_{'dark' if dark else 'light'}.png")
                    self.assert_quiet(page)

    def test_it_says_that_it_knows_expert_layers_only_and_what_steps_cost_beside_them(self):
        notes = "document.getElementById('notes').textContent"
        page = self.open()
        self.assertIn("Expert layers only of Qwen3-30B-A3B", page.evaluate(notes))
        self.model["schema"] = 2
        self.model["models"] = [one for one in self.model["models"] if one["name"] == "Qwen3-30B-A3B"]
        self.model["other"] = [{"model": "Qwen3-30B-A3B", "engine": "vLLM", "source": "derived",
                                "rows": [{"batch": 16, "latency_us": 4096}]}]
        page = self.open()
        self.assertEqual(page.evaluate(notes), "")
        self.assertIn("4.096", page.evaluate("document.body.textContent"))

    def test_names_from_the_file_are_text(self):
        hostile = "<b>x</b></script><script>document.title = 'broken'</script>"
        self.model["device"] = hostile
        for entry in self.model["entries"]:
            entry["method"] = hostile
        page = self.open()
        self.assertNotEqual(page.evaluate("document.title"), "broken")
        self.assertEqual(page.evaluate("document.querySelectorAll('b, figure script').length"), 0)
        self.assertIn(hostile, page.evaluate("document.querySelector('h1').textContent"))
        self.assert_quiet(page)

    def test_the_theme_button_redraws_and_zooms_reset(self):
        page = self.open()
        page.click("#theme")
        page.wait_for("document.documentElement.dataset.theme === 'dark'")
        page.click("#reset-zoom")
        self.assertEqual(len(page.evaluate(DRAWN)), page.evaluate("state.figures.length"))
        self.assert_quiet(page)


if __name__ == "__main__":
    unittest.main()
