# SPDX-License-Identifier: Apache-2.0
"""tools/build_docs.py prints a page with its equations, and says what it lacks."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "tools/build_docs.py"
sys.path.insert(0, str(REPOSITORY / "tools"))
import build_docs  # noqa: E402

MISSING = build_docs.missing_programs()[1]
needs_pandoc = unittest.skipIf(MISSING, f"{' and '.join(MISSING)} not found; tools/setup --docs installs them")


def build(*arguments, **environment):
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


class Pdf(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)

    def write(self, text):
        page = self.folder / "page.md"
        page.write_text(text, encoding="utf-8")
        return page

    @needs_pandoc
    def test_the_theory_is_printed_with_every_equation(self):
        out = self.folder / "out" / "theory.pdf"
        self.assertEqual(build(REPOSITORY / "docs/theory.md", out), (0, f"wrote {out.resolve()}\n", ""))
        self.assertTrue(out.read_bytes().startswith(b"%PDF"))
        self.assertGreater(out.stat().st_size, 200_000)

    @needs_pandoc
    def test_an_equation_that_cannot_be_set_is_an_error_that_shows_it(self):
        status, _, errors = build(self.write("$$\n\\nosuchmacro{x} \\tag{1}\n$$\n"), self.folder / "page.pdf")
        self.assertEqual(status, 1)
        self.assertIn("nosuchmacro", errors)
        self.assertFalse((self.folder / "page.pdf").exists())

    def test_without_pandoc_the_exit_status_is_2_and_says_how_to_get_it(self):
        status, _, errors = build(PATH="/nowhere")
        self.assertEqual(status, 2)
        for word in ("pandoc", "chromium", "tools/setup --docs"):
            self.assertIn(word, errors)

    def test_a_page_that_is_not_there_is_a_wrong_argument(self):
        status, _, errors = build(self.folder / "none.md")
        self.assertEqual(status, 2)
        self.assertIn("is no file", errors)

    def test_a_second_page_is_not_taken_for_the_pdf_to_write(self):
        page = self.write("# A page\n")
        status, _, errors = build(page, page)
        self.assertEqual(status, 2)
        self.assertIn(".pdf", errors)
        self.assertEqual(page.read_text(encoding="utf-8"), "# A page\n")


if __name__ == "__main__":
    unittest.main()
