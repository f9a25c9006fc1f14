# SPDX-License-Identifier: Apache-2.0
"""HTML pages to plain text: the words and the layout a reader sees, without menus or scripts."""

import html.parser
import re

PARAGRAPH_TAGS = frozenset(
    "address article blockquote body div dl dt fieldset figure form h1 h2 h3 h4 h5 h6 hr ol p pre "
    "section table ul".split())
LINE_TAGS = frozenset("br caption dd li tr".split())
VOID_TAGS = frozenset("br hr img input link meta".split())
SKIPPED_TAGS = frozenset("button math noscript script select style svg template textarea".split())
# Page furniture, by the class names that the packaged documentation uses: repeated on every page,
# it would only teach the model one menu by heart.
SKIPPED_CLASSES = frozenset(
    "book-navigation fancy_toc navfooter navheader nosearch toc tightmenu".split())
LAST_MODIFIED = re.compile(r"^This page (was )?last (modified|updated)( on)? .*$", re.MULTILINE)

#: Marks the start of a section in the text while a page is being cut; never in a document.
SECTION_MARK = "\f"


class _TextParser(html.parser.HTMLParser):
    """Collects text pieces; whitespace is collapsed outside <pre>."""

    def __init__(self, section_tag=None):
        super().__init__(convert_charrefs=True)
        self.pieces = []
        self.title = ""
        self._section_tag = section_tag
        self._in_title = False
        self._pre_depth = 0
        self._skipped_tag = None  # the tag whose end closes the part being skipped
        self._skip_depth = 0
        self._last = "\n"

    def _append(self, text):
        if text:
            self.pieces.append(text)
            self._last = text[-1]

    def handle_starttag(self, tag, attributes):
        if self._skipped_tag:
            self._skip_depth += tag == self._skipped_tag
            return
        classes = (dict(attributes).get("class") or "").split()
        if tag not in VOID_TAGS and (tag in SKIPPED_TAGS or SKIPPED_CLASSES.intersection(classes)):
            self._skipped_tag, self._skip_depth = tag, 1
        elif tag == "title":
            self._in_title = True
        elif tag == self._section_tag:
            self._append("\n\n" + SECTION_MARK)
        elif tag in PARAGRAPH_TAGS:
            self._append("\n\n")
            self._pre_depth += tag == "pre"
        elif tag in LINE_TAGS:
            self._append("\n- " if tag == "li" else "\n")
        elif tag in ("td", "th") and self._last != "\n":
            self._append("\t")

    def handle_startendtag(self, tag, attributes):
        if not self._skipped_tag and tag in ("br", "hr"):
            self._append("\n")

    def handle_endtag(self, tag):
        if self._skipped_tag:
            self._skip_depth -= tag == self._skipped_tag
            if self._skip_depth == 0:
                self._skipped_tag = None
        elif tag == "title":
            self._in_title = False
        elif tag in PARAGRAPH_TAGS:
            self._append("\n\n")
            self._pre_depth = max(0, self._pre_depth - (tag == "pre"))
        elif tag == "dd":
            self._append("\n")

    def handle_data(self, data):
        if self._skipped_tag:
            return
        if self._in_title:
            self.title += data
        elif self._pre_depth:
            self._append(data)
        else:
            text = re.sub(r"[ \t\r\n\f\v\u00a0]+", " ", data)
            self._append(text.lstrip(" ") if self._last in " \n\t" + SECTION_MARK else text)


def _tidy(text):
    text = re.sub(r"[ \t]+\n", "\n", LAST_MODIFIED.sub("", text))
    text = re.sub(r"\n-[ \n]*\n+(?=\S)", "\n- ", text)  # an <li> whose text is in a <p>
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n ") + "\n"


def html_to_sections(markup, section_tag=None):
    """Texts of the page, cut before each `section_tag` (one text if None). Empty ones are left out.

    The page's title leads the first text, unless its first words repeat it.
    """
    parser = _TextParser(section_tag)
    parser.feed(markup)
    parser.close()
    body = "".join(parser.pieces)
    title = " ".join(parser.title.split(" | ")[0].split())
    if not body.replace(SECTION_MARK, "").lstrip().startswith(title):
        body = title + "\n\n" + body
    texts = [_tidy(part) for part in body.split(SECTION_MARK)]
    return [text for text in texts if text.strip()]


def html_to_text(markup):
    """Plain text of one HTML page."""
    return "".join(html_to_sections(markup)) or ""
