# SPDX-License-Identifier: Apache-2.0
"""What is taken from which Debian package, and how it becomes documents.

Each reader gets the folder that a package was unpacked in and yields Documents. Two renderings of
one text (HTML and its markup, a page and the page that collects it) would put held-out text into
training text, so only one of each is taken; the rules below say which.
"""

import ast
import gzip
import os
import re
import tarfile

from corpus_format import Document
from html_text import html_to_sections, html_to_text
from roff_text import roff_to_text

SMALLEST_BYTES = 200
DICTIONARY_CHUNK_BYTES = 16 * 1024
LINUX_CODE = ("kernel/", "mm/", "fs/", "net/", "lib/")
# Tables of numbers in C: character sets, bitmaps of fonts.
LINUX_SKIPPED = ("fs/nls/", "fs/unicode/utf8data", "lib/fonts/", "Documentation/translations/")
SQLITE_SKIPPED = re.compile(  # indexes and pages that repeat other pages sentence by sentence
    r"(^|/)(doc_.*_crossref|keyword_index|requirements|syntaxdiagrams|capi3ref|changes|sitemap"
    r"|doclist|hirely|news|oldnews|fullsql|toc)\.html$|^syntax/")
POSTGRES_SKIPPED = re.compile(r"^(bookindex|biblio|index)\.html$")
# Tables of contents, and the pages that are not in English.
PERL_SKIPPED = re.compile(r"^(perltoc|perluniprops|perlmodlib|perlcn|perljp|perlko|perltw)\.pod$")
SPDX = re.compile(r"SPDX-License-Identifier:\s*(.*)")
MAN_LICENCE = re.compile(r"%%%LICENSE_START\(([^)]*)\)")
NOTICE = re.compile(r"copyright\b.*?\d{4}|©\s*\d{4}|\(c\)\s*\d{4}", re.IGNORECASE)


def decode(data):
    """Bytes of a packaged file as text: UTF-8, else Latin-1; no control characters, LF lines."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    return re.sub(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufeff]", "", text)


def is_table_of_numbers(text):
    """True for generated data (character tables, key dumps): too few letters, too many digits."""
    sample = text[:200_000]
    visible = sum(not c.isspace() for c in sample)
    letters = sum(c.isalpha() for c in sample)
    digits = sum(c.isdigit() for c in sample)
    return visible == 0 or letters < 0.45 * visible or digits > 0.25 * visible


def licence_of(text, default):
    """(licence, copyright notices) that the head of a file states; `default` where it is silent."""
    head = text[:6000]
    match = SPDX.search(head[:2000]) or MAN_LICENCE.search(head)
    licence = match.group(1) if match else default
    # rST and YAML comment marks, closing C comments, and roff quotes are no part of the name.
    licence = re.sub(r"\s*(\*/|-->|\*).*$", "", licence).strip(" \t\"'()") or default
    comment = re.compile(r"^[\s/*#;.\\\"':-]+|[\s*/]+$")
    lines = [comment.sub("", line)[:160] for line in head.splitlines() if NOTICE.search(line)]
    return licence, tuple(lines[:8])


def make(domain, package, source, text, licence, notices=()):
    """A list of no or one Document: short texts and number tables are left out."""
    text = re.sub(r"[ \t]+\n", "\n", text).strip("\n") + "\n"
    data = text.encode("utf-8", "replace")
    if len(data) < SMALLEST_BYTES or is_table_of_numbers(text):
        return []
    return [Document(domain, package, source, licence, data, notices)]


def files_under(root, *suffixes):
    """(relative path, bytes) of regular files, by name; .gz files are unpacked."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not name.endswith(suffixes):
                continue
            with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as file:
                yield os.path.relpath(path, root), file.read()


def read_gcide(root):
    """The dictionary in chunks of whole consecutive entries. A .dz file is a gzip file."""
    with gzip.open(os.path.join(root, "usr/share/dictd/gcide.dict.dz")) as file:
        text = decode(file.read())
    entries = re.split(r"\n\n(?=\S)", text.strip("\n"))
    chunk, size, number = [], 0, 0
    for position, entry in enumerate(entries):
        chunk.append(entry)
        size += len(entry) + 2
        if size >= DICTIONARY_CHUNK_BYTES or position == len(entries) - 1:
            yield from make("dictionary", "dict-gcide", "gcide.dict#{}".format(number),
                            "\n\n".join(chunk), "GPL-2.0-or-later")
            chunk, size, number = [], 0, number + 1


def read_anarchism(root):
    """One document an answer: the FAQ's pages cut at their second-level headings."""
    pages = os.path.join(root, "usr/share/doc/anarchism/html")
    for path, data in files_under(pages, ".html"):
        for number, text in enumerate(html_to_sections(decode(data), "h2")):
            yield from make("faq", "anarchism", "html/{}#{}".format(path, number), text,
                            "GPL-2.0-or-later")


def read_perl(root):
    """The perl manual as POD source, and the modules' pages, which come as roff only."""
    licence = "GPL-1.0-or-later OR Artistic-1.0-Perl"
    for path, data in files_under(os.path.join(root, "usr/share/perl"), ".pod"):
        if not PERL_SKIPPED.search(os.path.basename(path)):
            text = decode(data)
            yield from make("perl", "perl-doc", path, text, licence, licence_of(text, licence)[1])
    for path, data in files_under(os.path.join(root, "usr/share/man/man3"), ".gz"):
        text = roff_to_text(decode(data))
        notices = [line.strip()[:160] for line in text.splitlines() if NOTICE.search(line)]
        yield from make("perl", "perl-doc", "man3/" + path, text, licence, tuple(notices[:8]))


def read_postgresql(root):
    pages = os.path.join(root, "usr/share/doc/postgresql-doc-15/html")
    for path, data in files_under(pages, ".html"):
        if not POSTGRES_SKIPPED.search(path):
            yield from make("database", "postgresql-doc-15", "html/" + path,
                            html_to_text(decode(data)), "PostgreSQL")


def read_sqlite(root):
    pages = os.path.join(root, "usr/share/doc/sqlite3")
    for path, data in files_under(pages, ".html"):
        if not SQLITE_SKIPPED.search(path):
            # Captions of syntax diagrams, whose pictures are gone.
            text = re.sub(r"(?m)^[a-z]+(-[a-z]+)*:\n\n", "", html_to_text(decode(data)))
            yield from make("database", "sqlite3-doc", path, text, "public-domain")


def read_git(root):
    """The AsciiDoc sources; of the HTML only the one page whose source is not packaged whole."""
    pages = os.path.join(root, "usr/share/doc/git-doc")
    for path, data in files_under(pages, ".txt"):
        yield from make("manuals", "git-doc", path, decode(data), "GPL-2.0-only")
    for path, data in files_under(pages, "git-config.html"):
        yield from make("manuals", "git-doc", path, html_to_text(decode(data)), "GPL-2.0-only")


def read_manpages(package):
    def read(root):
        for path, data in files_under(os.path.join(root, "usr/share/man"), ".gz"):
            source = decode(data)
            licence, notices = licence_of(source, "unstated")
            yield from make("manuals", package, path, roff_to_text(source), licence, notices)
    return read


def linux_domain(path):
    """Domain of a path in the kernel's source, or None if it is not taken."""
    if path.startswith(LINUX_SKIPPED):
        return None
    if path.startswith(LINUX_CODE) and path.endswith((".c", ".h")):
        return "linux-c"
    suffix = os.path.splitext(path)[1]
    if path.startswith("Documentation/") and suffix in (".rst", ".txt", ".yaml", ""):
        return "linux-docs"
    return None


def read_linux(root):
    archive = os.path.join(root, "usr/src/linux-source-6.1.tar.xz")
    with tarfile.open(archive, "r|xz") as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            domain = linux_domain(path) if member.isfile() else None
            if domain:
                text = decode(tar.extractfile(member).read())
                yield from make(domain, "linux-source-6.1", path, text,
                                *licence_of(text, "GPL-2.0-only"))


def read_python(root):
    """Modules as they are; the language reference that pydoc carries as a dictionary of texts."""
    library = os.path.join(root, "usr/lib/python3.11")
    for path, data in files_under(library, ".py"):
        text = decode(data)
        if path == "pydoc_data/topics.py":
            topics = ast.literal_eval(text[text.index("{"):])
            for name, topic in sorted(topics.items()):
                yield from make("python", "libpython3.11-stdlib", path + "#" + name, topic,
                                "PSF-2.0")
        elif not path.startswith("encodings/"):  # character tables
            yield from make("python", "libpython3.11-stdlib", path, text,
                            *licence_of(text, "PSF-2.0"))


#: Package name -> reader of its unpacked folder.
READERS = {
    "dict-gcide": read_gcide,
    "anarchism": read_anarchism,
    "perl-doc": read_perl,
    "postgresql-doc-15": read_postgresql,
    "sqlite3-doc": read_sqlite,
    "git-doc": read_git,
    "manpages": read_manpages("manpages"),
    "manpages-dev": read_manpages("manpages-dev"),
    "linux-source-6.1": read_linux,
    "libpython3.11-stdlib": read_python,
}
#: Most bytes of a domain, training and held-out together; domains not named here are whole.
DOMAIN_LIMITS = {"linux-c": 68_000_000}
