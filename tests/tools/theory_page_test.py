# SPDX-License-Identifier: Apache-2.0
"""docs/theory.md as a page: its numbers are names, what it cites is there, GitHub can set it."""

import re
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
THEORY = (REPOSITORY / "docs/theory.md").read_text(encoding="utf-8")
EQUATIONS = re.findall(r"^\$\$\n(.*?)\n\$\$$", THEORY, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^\$\$\n.*?\n\$\$$", "", THEORY, flags=re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"\$([^$\n]+)\$", PROSE)


def sources(*folders):
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in (".h", ".cpp", ".cu", ".cuh", ".py", ".v"):
                yield path, path.read_text(encoding="utf-8")


class Page(unittest.TestCase):
    def numbers(self):
        return [re.findall(r"\\tag\{(R?\d+)\}$", equation) for equation in EQUATIONS]

    def test_each_equation_has_one_number_of_its_own(self):
        self.assertGreater(len(EQUATIONS), 40)
        self.assertEqual([len(tags) for tags in self.numbers()], [1] * len(EQUATIONS))
        tags = [tag for (tag,) in self.numbers()]
        self.assertEqual(len(tags), len(set(tags)))
        plain = sorted(int(tag) for tag in tags if tag.isdigit())
        self.assertEqual(plain, list(range(1, len(plain) + 1)))

    def test_each_number_that_the_code_cites_is_an_equation(self):
        tags, cited = {tag for (tag,) in self.numbers()}, 0
        for path, text in sources("src", "proof", "tests"):
            joined = re.sub(r"\n\s*(///?|#|\*)?\s*", " ", text)
            for range_of in re.findall(r"theory\.md,?\s*(?:section \d, )?(?:after )?eqs?\. ((?:\(R?\d+\)(?: to |-|, | and )?)+)",
                                       joined):
                for number in re.findall(r"\((R?\d+)\)", range_of):
                    self.assertIn(number, tags, path)
                    cited += 1
        self.assertGreater(cited, 15)

    def test_each_number_in_the_text_is_an_equation(self):
        tags = {tag for (tag,) in self.numbers()}
        for number in re.findall(r"(?<![\w$)])\((R?\d{1,2})\)(?!\^)", re.sub(r"\$[^$\n]+\$", "", PROSE)):
            self.assertIn(number, tags)

    def test_each_file_and_test_that_the_theory_names_is_there(self):
        python = {path.name: text for path, text in sources("tests/tools")}
        code = "\n".join(text for _, text in sources("tests"))
        names = re.findall(r"`([^`]+)`", PROSE)
        for name in names:
            if re.fullmatch(r"tests/[\w/.]+", name):
                self.assertTrue((REPOSITORY / name).is_file(), name)
            elif name.endswith("_test.py"):
                self.assertIn(name, python)
            elif re.fullmatch(r"test_\w+", name):
                self.assertTrue(any(f"def {name}(" in text for text in python.values()), name)
            elif re.fullmatch(r"[A-Z]\w+\.[A-Z]\w+", name):
                suite, test = name.split(".")
                self.assertRegex(code, rf"\({suite}, {test}\)")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", PROSE):
            self.assertTrue((REPOSITORY / "docs" / target).exists(), target)
        self.assertGreater(sum(name.startswith("test_") for name in names), 15)

    def test_equations_use_nothing_that_github_takes_for_its_own_markup(self):
        for math in EQUATIONS + INLINE:
            self.assertNotRegex(math, r"\\\\|\\[{}]|\\(new|renew|provide)command|\\def\b|\\operatorname|\n\n", math)
            self.assertNotIn("*", math)  # emphasis
            self.assertNotRegex(math, r"<\w|\w<", math)  # a tag
            self.assertEqual(math.count("{"), math.count("}"), math)
        self.assertEqual(PROSE.count("$") % 2, 0)
        self.assertTrue(all(math == math.strip() for math in INLINE))
        for row in re.findall(r"^\|.*\|$", PROSE, re.MULTILINE):
            for math in re.findall(r"\$([^$]+)\$", row):
                self.assertNotIn("|", math)  # a column


if __name__ == "__main__":
    unittest.main()
