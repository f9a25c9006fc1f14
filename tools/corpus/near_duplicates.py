#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how much of a held-out text stands in the training text.

A byte is "seen" if it lies in a string of 64 bytes (--string) that stands in the training text too.
A document is clean if at most a tenth of its bytes (--most) are seen. Prints the shares by domain.
"""

import argparse
import sys

import corpus_format
from corpus_format import CorpusError

#: Bytes of a string: shorter ones are idiom (a licence's sentence, a macro), not a copy.
STRING = 64
#: A near-duplicate is a document of which more than this share of bytes is seen.
MOST_SEEN = 0.1


def strings_of(texts, length=STRING):
    """Hashes of every string of `length` bytes in the texts."""
    known = set()
    for text in texts:
        known.update(hash(text[at:at + length]) for at in range(len(text) - length + 1))
    return known


def shared_strings(text, known, length=STRING):
    """(hashes of the text's strings that are in `known`, number of bytes that lie in one)."""
    shared, covered, end = set(), 0, 0
    for at in range(len(text) - length + 1):
        string = hash(text[at:at + length])
        if string in known:
            shared.add(string)
            covered += at + length - max(end, at)
            end = at + length
    return shared, covered


def is_near_duplicate(covered, text, most=MOST_SEEN):
    return covered > most * len(text)


def filter_both_sides(train, held_out, most=MOST_SEEN, length=STRING):
    """(training documents, held-out documents) without near-duplicates of each other.

    First training documents that repeat held-out ones go, so that the held-out side stays as large
    as it can; then held-out documents that the rest of the training text still covers.
    """
    known = strings_of((d.text for d in held_out), length)
    kept, seen = [], set()
    for document in train:
        shared, covered = shared_strings(document.text, known, length)
        if not is_near_duplicate(covered, document.text, most):
            kept.append(document)
            seen |= shared
    return kept, [d for d in held_out if not is_near_duplicate(
        shared_strings(d.text, seen, length)[1], d.text, most)]


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CorpusError("{}: cannot be read: {}".format(path, error.strerror)) from error


def print_table(entries, covered, most):
    print("{:12} {:>10} {:>7} {:>10} {:>10} {:>7}".format(
        "domain", "bytes", "seen", "documents", "clean", "bytes"))
    domains = sorted({entry["domain"] for entry in entries})
    for domain in domains + ["all"]:
        rows = [(e["length"], c) for e, c in zip(entries, covered)
                if domain in (e["domain"], "all")]
        clean = [length for length, c in rows if c <= most * length]
        total = sum(length for length, _ in rows)
        print("{:12} {:10,} {:6.1f}% {:10,} {:10,} {:6.1f}%".format(
            domain, total, 100 * sum(c for _, c in rows) / total, len(rows), len(clean),
            100 * sum(clean) / total))


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, metavar="FILE", help="the training text")
    parser.add_argument("--text", required=True, metavar="FILE", help="the held-out text")
    parser.add_argument("--index", required=True, metavar="FILE", help="its index")
    parser.add_argument("--string", type=int, default=STRING, metavar="N",
                        help="bytes of a string (default %(default)s)")
    parser.add_argument("--most", type=float, default=MOST_SEEN, metavar="SHARE",
                        help="share of seen bytes that a clean document may have "
                        "(default %(default)s)")
    options = parser.parse_args(arguments)
    if options.string < 1:
        parser.error("--string {}: needs at least 1 byte".format(options.string))
    if not 0.0 <= options.most < 1.0:
        parser.error("--most {}: is no share from 0 up to 1".format(options.most))
    return options


def run(options):
    data, entries = corpus_format.read_index(options.text, options.index)
    texts = [data[e["offset"]:e["offset"] + e["length"]] for e in entries]
    seen, _ = shared_strings(read_bytes(options.train), strings_of(texts, options.string),
                             options.string)
    covered = [shared_strings(text, seen, options.string)[1] for text in texts]
    print_table(entries, covered, options.most)


def main(arguments):
    try:
        run(parse_arguments(arguments))
    except CorpusError as error:
        print("near_duplicates: {}".format(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
