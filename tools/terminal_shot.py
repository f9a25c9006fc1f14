#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes a picture of a terminal program: runs it in tmux, draws its screen with Chromium.

    tools/terminal_shot.py OUT.png [--columns 100] [--rows 24] [--wait 10] -- COMMAND...

--wait is how long the program runs before the picture is taken; it is ended afterwards. An OUT that ends in .html
keeps the page instead of drawing it.
"""

import argparse
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

FONT_PX = 15
ADVANCE = 0.602     # of DejaVu Sans Mono, in em
LINE = 1.16         # in em: block characters of two lines touch
PADDING_PX = 16
STYLES = {"1": "font-weight:bold", "2": "opacity:.6", "31": "color:#ff7b72", "32": "color:#7ee787",
          "33": "color:#e3b341", "36": "color:#56b6c2"}


def screen_of(command, columns, rows, wait):
    """The screen of `command`, one string with SGR codes."""
    tmux = ["tmux", "-L", f"shot{os.getpid()}", "-f", os.devnull]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([*tmux, "-u", "new-session", "-d", "-x", str(columns), "-y", str(rows), shlex.join(command)],
                   check=True, env=environment)
    try:
        time.sleep(wait)
        return subprocess.run([*tmux, "capture-pane", "-p", "-e"], check=True, capture_output=True, text=True,
                              encoding="utf-8").stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def html_of(screen):
    """The screen as HTML spans."""
    parts, active = [], []
    for piece in re.split(r"(\x1b\[[0-9;]*m)", screen.rstrip("\n")):
        code = re.fullmatch(r"\x1b\[([0-9;]*)m", piece)
        if not code:
            styles = ";".join(STYLES[a] for a in active if a in STYLES)
            parts.append(f'<span style="{styles}">{html.escape(piece)}</span>' if styles else html.escape(piece))
            continue
        for number in code[1].split(";") or [""]:
            if number in ("", "0"):
                active = []
            elif number == "39":
                active = [a for a in active if a in ("1", "2")]
            else:
                active.append(number)
    return "".join(parts)


def page_of(screen):
    return f"""<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #0d1117; color: #e6edf3 }}
pre {{ margin: 0; padding: {PADDING_PX}px; font: {FONT_PX}px/{LINE} "DejaVu Sans Mono", monospace }}
</style><pre>{html_of(screen)}</pre>"""


def draw(page, out, columns, rows):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("terminal_shot: no chromium; install it, or name an OUT.html")
    width = round(columns * FONT_PX * ADVANCE) + 2 * PADDING_PX
    height = round(rows * FONT_PX * LINE) + 2 * PADDING_PX
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "screen.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(page)
        subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                        f"--user-data-dir={folder}/profile", f"--window-size={width},{height}",
                        f"--screenshot={os.path.abspath(out)}", f"file://{path}"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--wait", type=float, default=10.0, help="seconds")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    screen = screen_of(given.command, given.columns, given.rows, given.wait)
    if not screen.strip():
        sys.exit("terminal_shot: the screen is empty: did the command end?")
    page = page_of(screen)
    if given.out.endswith(".html"):
        with open(given.out, "w", encoding="utf-8") as file:
            file.write(page)
    else:
        draw(page, given.out, given.columns, given.rows)


if __name__ == "__main__":
    main()
