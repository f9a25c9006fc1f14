# SPDX-License-Identifier: Apache-2.0
"""Runs what docs/guide.md shows, in order, and compares what is printed with what the guide says.

Read from the guide:
- blocks of ```console: each line `$ thermoe ...` is run, the lines below it are its output; a line
  `...` stands for any number of lines. Words must be the same; numbers must be near (`near`): a
  processor with another vector width rounds otherwise, and a closed loop carries that on.
- `<!-- machine -->` before such a block: its output depends on the machine; it need only work.
- `<!-- file NAME -->` before another block: the block is written to that file first.

With `python3 tests/tools/guide_test.py --update` the outputs in the guide are written anew.
THERMOE names the program (default: build/cpu-release/src/cli/thermoe); without it the test skips.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide.md"
THERMOE = pathlib.Path(os.environ.get("THERMOE", ROOT / "build/cpu-release/src/cli/thermoe"))
BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)```", re.DOTALL)
LINKED = ("data", "model", "experiments", "docs")


def commands(body):
    """[(command, [output lines])] of a console block."""
    found = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return found


def run(command, folder):
    words = shlex.split(command)
    assert words[0] == "thermoe", command
    return subprocess.run([str(THERMOE), *words[1:]], cwd=folder, capture_output=True, text=True,
                          check=False, timeout=300,
                          env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", "LC_ALL": "C.UTF-8"})


def shape(line):
    """The words of a line. What numbers are, and the room they take, is for `near`."""
    return re.sub(r"[-+]?\d[\d.,:/]*", "#", re.sub(r"[\s─-]+", " ", line)).strip()


def numbers(line):
    """[(text, whether it is a percentage)]; a sign belongs to a number that stands alone."""
    return [(match[0], line[match.end():].lstrip().startswith("%"))
            for match in re.finditer(r"(?:(?<=[\s(])[-+])?\d+(?:\.\d+)?", line)]


def near(shown, printed):
    """Whether a number is the one that the guide shows, as far as machines may differ:

    - a percentage: by at most 1 point, or 3 % of it. Violations are counted in ticks, and a few at
      the start decide; losses of quality are tenths of a point.
    - a whole number: by at most 3 %, so that counts below 34 agree exactly.
    - any other: by at most 3 % or five of its last digit, as 0.0035 nats or 1.2 s of settling have
      no 3 % to show.
    """
    (text, percentage), (other, other_percentage) = shown, printed
    if percentage != other_percentage:
        return False
    digits = len(text.partition(".")[2])
    least = 1.0 if percentage else 5 * 10.0 ** -digits if digits else 0.0
    return abs(float(text) - float(other)) <= max(0.03 * abs(float(text)), least) + 1e-12


def same_line(shown, printed):
    if shape(shown) != shape(printed):
        return False
    pairs = (numbers(shown), numbers(printed))
    return len(pairs[0]) == len(pairs[1]) and all(map(near, *pairs))


def agrees(shown, printed):
    """Whether the printed lines are the shown ones, `...` standing for any."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(agrees(shown[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and same_line(shown[0], printed[0]) and agrees(shown[1:], printed[1:])


def difference(shown, printed):
    """The first line that does not agree, for people; lines elided by `...` make it a guess."""
    for ours, theirs in zip(shown, printed):
        if not same_line(ours, theirs):
            return f"first difference:\n- {ours}\n+ {theirs}"
    return f"{len(shown)} lines against {len(printed)}"


class Folder:
    """An empty folder that sees the project's data, as a user's checkout does."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.temporary.name)
        for name in LINKED:
            (path / name).symlink_to(ROOT / name)
        (path / "runs").mkdir()
        return path

    def __exit__(self, *_):
        self.temporary.cleanup()


class Comparison(unittest.TestCase):
    LINE = "KERNEL_AWARE_TTHA      1000    0.348  348.5    1.2 %       1.2    8.36/9.76   +0.36 %    0.0035"

    def differs(self, old, new):
        self.assertIn(old, self.LINE)
        return not same_line(self.LINE, self.LINE.replace(old, new))

    def test_what_another_processor_rounds_otherwise_agrees(self):
        self.assertTrue(same_line(self.LINE, self.LINE))
        for old, new in (("348.5", "347.9"), ("1.2 %", "0.9 %"), ("8.36/9.76", "8.40/9.90"),
                         ("+0.36 %", "-0.02 %"), ("0.0035", "0.0033"), ("1000 ", "  999 ")):
            self.assertFalse(self.differs(old, new), (old, new))

    def test_a_factor_of_sixteen_agrees_nowhere(self):
        for old, new in (("0.348", "5.568"), ("0.348", "0.022"), ("348.5", "5576.0"),
                         ("1000 ", "16000 "), ("1000 ", "62 "), ("8.36/9.76", "133.8/9.76"),
                         ("8.36/9.76", "8.36/0.61"), ("1.2 %", "19.2 %"), ("+0.36 %", "+5.76 %"),
                         ("0.0035", "0.0560"), ("0.0035", "0.0002")):
            self.assertTrue(self.differs(old, new), (old, new))

    def test_a_count_a_sign_a_unit_and_a_missing_number_are_seen(self):
        counts = "64 samples of 4 layers, 16 tokens, 128 experts; top-8"
        for old, new in (("4 layers", "5 layers"), ("16 tokens", "17 tokens"), ("top-8", "top-7")):
            self.assertFalse(same_line(counts, counts.replace(old, new)), (old, new))
        self.assertFalse(same_line("loss +12.0 nats", "loss -12.0 nats"))
        self.assertTrue(self.differs("8.36/9.76", "8.36"))
        self.assertTrue(self.differs("1.2 %", "1.2"))


@unittest.skipIf(not THERMOE.exists(), f"{THERMOE} is not built")
class Guide(unittest.TestCase):
    def test_every_command_prints_what_the_guide_shows(self):
        with Folder() as folder:
            for block in BLOCK.finditer(GUIDE.read_text(encoding="utf-8")):
                self.follow(block, folder)

    def follow(self, block, folder):
        note = block["note"] or ""
        if note.startswith("file "):
            (folder / note[5:].strip()).write_text(block["body"], encoding="utf-8")
        if block["kind"] != "console":
            return
        for command, shown in commands(block["body"]):
            with self.subTest(command=command):
                result = run(command, folder)
                self.assertEqual(result.returncode, 0, result.stderr)
                printed = result.stdout.splitlines()
                if note.strip() == "machine":
                    self.assertTrue(printed)
                else:
                    self.assertTrue(agrees(shown, printed),
                                    f"{difference(shown, printed)}\n\nthe guide shows:\n{os.linesep.join(shown)}\n\n"
                                    f"printed was:\n{result.stdout}")


def updated(block, folder):
    """The block with what its commands print now; blocks that elide lines are left alone."""
    note = block["note"] or ""
    if note.startswith("file "):
        (folder / note[5:].strip()).write_text(block["body"], encoding="utf-8")
    if block["kind"] != "console":
        return block[0]
    text = block[0][:block[0].index("```")] + "```console\n"
    for command, shown in commands(block["body"]):
        result = run(command, folder)
        if result.returncode != 0:
            sys.exit(f"{command}: exit {result.returncode}: {result.stderr}")
        kept = any(line.strip() == "..." for line in shown)
        lines = shown if kept else [line.rstrip() for line in result.stdout.splitlines()]
        text += "\n".join([f"$ {command}", *lines]) + "\n"
    return text + "```"


def update():
    with Folder() as folder:
        text = GUIDE.read_text(encoding="utf-8")
        GUIDE.write_text(BLOCK.sub(lambda block: updated(block, folder), text), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        unittest.main()
