# SPDX-License-Identifier: Apache-2.0
"""Runs what docs/guide.md shows, in order, and compares what is printed with what the guide says.

Read from the guide:
- blocks of ```console: each line `$ thermoe ...` is run, the lines below it are its output; a line
  `...` stands for any number of lines. Numbers may differ, words may not.
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
    """What must agree: the words. Numbers and the room they take may not."""
    return re.sub(r"[-+]?\d[\d.,:/]*", "#", re.sub(r"[\s─-]+", " ", line)).strip()


def agrees(shown, printed):
    """Whether the printed lines are the shown ones, `...` standing for any."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(agrees(shown[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and shape(shown[0]) == shape(printed[0]) and agrees(shown[1:], printed[1:])


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
                                    f"the guide shows:\n{os.linesep.join(shown)}\n\n"
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
