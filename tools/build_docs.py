#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a PDF of a page of docs/: pandoc sets its equations as MathML, a headless Chromium prints it. No TeX.

    tools/build_docs.py [PAGE.md [OUT.pdf]]     (default: docs/theory.md, build/docs/<page>.pdf)

Exit status: 0 written, 1 pandoc could not read an equation or the browser printed nothing, 2 a wrong argument, or a
program is missing.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STYLE = ROOT / "tools/docs"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
REMEDY = ("`tools/setup --docs` installs them "
          "(by hand: apt-get install --no-install-recommends pandoc fonts-lmodern chromium)")


class BuildError(Exception):
    pass


def run(command, what):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise BuildError(f"{what} fails:\n{done.stderr}".rstrip())
    return done.stderr


def write_html(page, out):
    warnings = run(["pandoc", page, "--from=gfm+tex_math_dollars", "--to=html5", "--mathml", "--standalone",
                    "--self-contained", "--columns=10000", f"--lua-filter={STYLE / 'equations.lua'}",
                    f"--css={STYLE / 'page.css'}", "--metadata=lang:en", f"--metadata=pagetitle:{page.stem}",
                    "-o", out], "pandoc")
    if "Could not convert TeX math" in warnings:
        raise BuildError(f"{page}: pandoc does not know all that an equation says:\n{warnings.rstrip()}")
    out.write_text(parentheses_as_in_tex(out.read_text(encoding="utf-8")), encoding="utf-8")


def parentheses_as_in_tex(html):
    """A bare parenthesis keeps its size, one of \\big to \\Bigg grows with what it holds. pandoc says the reverse."""
    html = html.replace('<mo stretchy="true"', '<mo stretchy="false"')
    return re.sub(r'<mo minsize="[\d.]+" maxsize="[\d.]+" stretchy="false"', '<mo stretchy="true"', html)


def print_pdf(browser, html, out, folder):
    run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
         "--no-pdf-header-footer", f"--print-to-pdf={out}", html.as_uri()], Path(browser).name)
    if not out.is_file() or not out.read_bytes().startswith(b"%PDF"):
        raise BuildError(f"{browser} wrote no PDF to {out}")


def missing_programs():
    """(path of a browser or None, names of what is missing)"""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    missing = [] if shutil.which("pandoc") else ["pandoc"]
    return browser, missing + ([] if browser else ["chromium (or Chrome)"])


def main(arguments):
    if len(arguments) > 2 or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    page = Path(arguments[0] if arguments else ROOT / "docs/theory.md").resolve()
    out = Path(arguments[1] if len(arguments) > 1 else ROOT / f"build/docs/{page.stem}.pdf").resolve()
    if not page.is_file():
        print(f"build_docs: {page} is no file", file=sys.stderr)
        return 2
    if out.suffix != ".pdf":  # it takes the place of what is there: two pages given are no page and its PDF
        print(f"build_docs: {out} does not end in .pdf; name the PDF to write", file=sys.stderr)
        return 2
    browser, missing = missing_programs()
    if missing:
        print(f"build_docs: {' and '.join(missing)} not found: {REMEDY}", file=sys.stderr)
        return 2
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_html(page, folder / "page.html")
            print_pdf(browser, folder / "page.html", out, folder)
    except (BuildError, OSError, subprocess.TimeoutExpired) as error:
        print(f"build_docs: {error}", file=sys.stderr)
        return 1
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
