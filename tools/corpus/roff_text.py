# SPDX-License-Identifier: Apache-2.0
"""Manual pages (man macros) to filled plain text. Not a roff: what the packaged pages need."""

import re
import textwrap

WIDTH = 78
JOINED = frozenset(("BR", "BI", "IB", "IR", "RB", "RI"))  # arguments set without spaces
SPACED = frozenset(("B", "I", "R", "SB", "SM", "SY", "CW"))
PARAGRAPH = frozenset(("PP", "P", "LP", "HP", "sp", "Sp", "TP"))
BREAK = frozenset(("br", "RS", "RE", "TQ", "fi", "nf", "EX", "EE", "Vb", "Ve", "in"))
# Strings that pod2man defines in its preamble (whose conditionals are not run here).
STRINGS = {'L"': '"', 'R"': '"', "C`": '"', "C'": '"', "--": "--", "PI": "pi", "Aq": "'",
           "C+": "C++", "lq": '"', "rq": '"', "R": "(R)", "Tm": "(TM)"}
GLYPHS = {"aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "em": "—", "en": "–",
          "hy": "-", "mi": "-", "bu": "*", "co": "(C)", "rg": "(R)", "tm": "(TM)", "ha": "^",
          "ti": "~", "ga": "`", "aa": "'", "rs": "\\", "sl": "/", "ba": "|", "bv": "|", "or": "|",
          "at": "@", "sh": "#", "Do": "$", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "la": "<",
          "ra": ">", "<=": "<=", ">=": ">=", "!=": "!=", "->": "->", "<-": "<-", "mu": "×",
          "+-": "±", "de": "°", "sc": "§", "*m": "μ", "*p": "π", "*a": "α", "*b": "β", "if": "∞",
          "Fo": "«", "Fc": "»", "ss": "ß", "fm": "'", "eq": "=", "pl": "+", "ul": "_", "ru": "_",
          "12": "½", "14": "¼", "S2": "²", ":a": "ä", ":o": "ö", ":u": "ü", "'e": "é", "`e": "è",
          "'a": "á", "'o": "ó", "'i": "í", ",c": "ç", "~n": "ñ", "^o": "ô", "oA": "Å", "/o": "ø",
          "/O": "Ø", ":O": "Ö", "vs": "š", "radicalex": "-", "integral": "∫", "*W": "-"}
ESCAPE = re.compile(
    r"\\(?:f(?:\[[^\]]*\]|\(..|.)|s(?:\[[^\]]*\]|[-+]?\d{1,2})|\*(?:\[([^\]]*)\]|\((..)|(.))"
    r"|[hvwlLDoNbZX]'[^']*'|n(?:\[[^\]]*\]|\(..|[-+]?.)|[mMkg](?:\[[^\]]*\]|\(..|.)"
    r"|\[([^\]]+)\]|\((..)|(.))", re.DOTALL)
SINGLE = {"-": "-", "e": "\\", "\\": "\\", " ": " ", "~": " ", "0": " ", "'": "'", "`": "`",
          ".": ".", "t": "\t", "_": "_", "E": "\\"}


def unescape(text):
    """Replaces roff escapes: fonts and motions vanish, named glyphs become characters."""

    def replace(match):
        string = match.group(1) or match.group(2) or match.group(3)
        glyph = match.group(4) or match.group(5)
        if string is not None:
            return STRINGS.get(string, "")
        if glyph is not None:
            if re.fullmatch(r"u[0-9A-F]{4,6}", glyph):
                return chr(int(glyph[1:], 16))
            return GLYPHS.get(glyph, "")
        return SINGLE.get(match.group(6) or "", "")

    return ESCAPE.sub(replace, text)


def split_arguments(text):
    """Macro arguments: blank-separated, double quotes group, "" in quotes is one quote."""
    quoted = r'"((?:[^"]|"")*)"?'
    bare = r'((?:\\.|[^\s\\"])(?:\\.|[^\s\\])*)'
    found = re.finditer(quoted + "|" + bare, text.strip(), re.DOTALL)
    return [m.group(2) or (m.group(1) or "").replace('""', '"') for m in found]


class _Page:
    """Text being filled; one paragraph is kept open until something breaks it."""

    def __init__(self):
        self.lines = []
        self.words = []
        self.fill = True
        self.tag_next = False     # the next line is the tag of a .TP
        self.heading_next = False  # the next line is the heading of a bare .SH

    def flush(self):
        if self.words:
            text = " ".join(self.words)
            self.lines += textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
            self.words = []

    def blank(self):
        self.flush()
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def heading(self, text):
        self.blank()
        self.lines.append(text)

    def text(self, line):
        if self.heading_next:
            self.heading_next = False
            self.heading(line.strip())
        elif not self.fill or line[:1] in (" ", "\t"):
            self.flush()
            self.lines.append(line.rstrip())
        elif not line.strip():
            self.blank()
        else:
            self.words.append(line.strip())
        if self.tag_next and line.strip():
            self.tag_next = False
            self.flush()


def _request(page, name, rest):
    """Carries out one macro line; unknown requests only steer typesetting and are dropped."""
    arguments = [unescape(argument) for argument in split_arguments(rest)]
    if name in ("nf", "EX", "Vb"):
        page.blank()
        page.fill = False
    elif name in ("fi", "EE", "Ve"):
        page.blank()
        page.fill = True
    elif name == "TH":
        page.heading("{}({})".format(arguments[0], arguments[1]) if len(arguments) > 1 else "")
    elif name in ("SH", "SS"):
        page.fill = True
        page.heading_next = not arguments
        if arguments:
            page.heading(" ".join(arguments))
    elif name in JOINED:
        page.text("".join(arguments))
    elif name in SPACED:
        page.text(" ".join(arguments))
    elif name == "OP":
        page.text("[" + " ".join(arguments) + "]")
    elif name in ("UR", "MT"):
        page.text("<" + "".join(arguments[:1]) + ">")
    elif name == "IP":
        page.blank()
        if arguments and arguments[0].strip():
            page.text(arguments[0])
            if len(arguments[0]) > 2:  # a bullet stays on the line of its text
                page.flush()
    elif name in PARAGRAPH:
        page.blank()
        page.tag_next = name == "TP"
    elif name in BREAK:
        page.flush()


def roff_to_text(source):
    """Plain text of one manual page in the man macros; comments and macro definitions vanish."""
    page = _Page()
    skip_until = None  # the line that ends a macro definition
    brace_depth = 0    # inside conditional blocks, which hold typesetting only
    table = None       # None, "format" or "data"
    for line in re.sub(r"\\\n", "", source).splitlines():
        if skip_until:
            skip_until = None if line.strip() == skip_until else skip_until
            continue
        line = re.split(r'(?<!\\)\\["#]', line)[0] if not line.startswith("'\\\"") else ""
        if brace_depth or re.match(r"[.'][ \t]*(if|ie|el)\b.*\\\{", line):
            brace_depth = max(0, brace_depth + line.count(r"\{") - line.count(r"\}"))
            continue
        match = re.match(r"[.'][ \t]*(?:(?:if|ie)[ \t]+n[ \t]+[.'][ \t]*)?([A-Za-z]+)(.*)", line)
        if match:
            name, rest = match.groups()
            if name in ("de", "ig", "am"):
                skip_until = ".."
            elif name in ("TS", "TE"):
                page.blank()
                table = "format" if name == "TS" else None
            else:
                _request(page, name, rest)
        elif line.startswith((".", "'br")):
            continue
        elif table == "format":
            table = "data" if line.rstrip().endswith(".") else "format"
        elif table == "data":
            cell = re.sub(r"(^|\t)T\{\s*|^T\}\t?", r"\1", unescape(line))
            if cell.strip() and cell.strip() not in "_=":
                page.lines.append(cell.rstrip())
        else:
            page.text(unescape(line))
    page.flush()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(page.lines)).strip("\n") + "\n"
