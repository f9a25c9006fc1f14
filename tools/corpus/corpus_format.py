# SPDX-License-Identifier: Apache-2.0
"""The corpus files: documents joined by one zero byte, an index beside them, and the split.

Everything that orders or selects documents does so by a seeded hash of the document's bytes, so
the result depends neither on the order in which packages are read nor on other documents.
"""

import dataclasses
import hashlib
import json
import os

SCHEMA = 1
SEPARATOR = b"\0"
#: One document of this many is held out.
HELD_OUT_ONE_IN = 40


class CorpusError(Exception):
    """A problem to show to the user: says what is wrong with which file and what would help."""


@dataclasses.dataclass(frozen=True)
class Document:
    """One text. `source` is the path in the package; `copyright` are the notices of its header."""
    domain: str
    package: str
    source: str
    licence: str
    text: bytes
    copyright: tuple = ()


def rank(purpose, seed, text):
    """A 64-bit number, uniform over texts, the same for the same purpose, seed and text."""
    key = "{}:{}:".format(purpose, seed).encode()
    return int.from_bytes(hashlib.sha256(key + text).digest()[:8], "big")


def is_held_out(seed, text):
    """True for one document in HELD_OUT_ONE_IN, decided by its content and the seed alone."""
    return rank("split", seed, text) % HELD_OUT_ONE_IN == 0


def deduplicate(documents):
    """Identical texts once: the one of the first domain, package and source by name stays."""
    kept = {}
    for document in sorted(documents, key=lambda d: (d.domain, d.package, d.source)):
        kept.setdefault(hashlib.sha256(document.text).digest(), document)
    return list(kept.values())


def cap_domain(documents, seed, limit):
    """Documents of one domain, in hash order, as many as fit in `limit` bytes."""
    kept, total = [], 0
    for document in shuffled(documents, seed, "cap"):
        if total + len(document.text) <= limit:
            kept.append(document)
            total += len(document.text)
    return kept


def shuffled(documents, seed, purpose="shuffle"):
    """The documents in the seeded order of their hashes."""
    return sorted(documents, key=lambda d: rank(purpose, seed, d.text))


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()


def index_of(documents):
    """Index entries of the documents as `join` lays them out."""
    entries, offset = [], 0
    for document in documents:
        entry = {"domain": document.domain, "offset": offset, "length": len(document.text),
                 "package": document.package, "source": document.source,
                 "licence": document.licence}
        if document.copyright:
            entry["copyright"] = list(document.copyright)
        entries.append(entry)
        offset += len(document.text) + len(SEPARATOR)
    return entries


def join(documents):
    """The bytes of a corpus file; CorpusError if a document holds the separator."""
    for document in documents:
        if SEPARATOR in document.text:
            raise CorpusError("{}: {}: the text holds a zero byte, which separates documents"
                              .format(document.package, document.source))
    return SEPARATOR.join(document.text for document in documents)


def write_file(path, data):
    """Writes bytes, or a value as JSON, under a temporary name first: never half a file."""
    if not isinstance(data, bytes):
        data = (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()
    partial = path + ".partial"
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if os.path.exists(partial):
            os.remove(partial)
        raise CorpusError("{}: cannot be written: {}".format(path, error.strerror)) from error


def read_index(text_path, index_path):
    """(bytes of the text, index entries); CorpusError unless they fit each other."""
    try:
        with open(text_path, "rb") as file:
            data = file.read()
        with open(index_path, "rb") as file:
            index = json.load(file)
    except OSError as error:
        raise CorpusError("{}: cannot be read: {}".format(
            error.filename, error.strerror)) from error
    except ValueError as error:
        raise CorpusError("{}: is not JSON: {}".format(index_path, error)) from error
    if not isinstance(index, dict) or index.get("schema") != SCHEMA:
        raise CorpusError("{}: schema is not {}; write it with build_corpus.py"
                          .format(index_path, SCHEMA))
    if index.get("sha256") != sha256_hex(data):
        raise CorpusError("{}: sha256 is not that of {}; the two files are of different runs"
                          .format(index_path, text_path))
    return data, index["documents"]


def write_indexed(text_path, index_path, documents, extra=None):
    """Writes the documents and their index; returns the bytes."""
    data = join(documents)
    write_file(text_path, data)
    write_file(index_path, {"schema": SCHEMA, "file": os.path.basename(text_path),
                            "bytes": len(data), "sha256": sha256_hex(data), **(extra or {}),
                            "documents": index_of(documents)})
    return data
