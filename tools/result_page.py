# SPDX-License-Identifier: Apache-2.0
"""What the Markdown pages of docs/results are made of, beside what each is about.

What people wrote below the line `<!-- written by hand -->` stays when a page is made again.
"""
BY_HAND = "<!-- written by hand -->"


def figure(value):
    """Three digits, as many as repeat."""
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(header, lines):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def write_page(path, lines):
    path.write_text("\n".join(lines) + "\n" + by_hand(path), encoding="utf-8")


def by_hand(path):
    """What people wrote below the line, from the line on."""
    if not path.exists():
        return BY_HAND + "\n"
    _, line, rest = path.read_text(encoding="utf-8").partition(BY_HAND)
    return line + rest if line else BY_HAND + "\n"
