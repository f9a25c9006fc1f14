#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Selects the held-out text that is shipped: small, domain-balanced, under licences that allow it.

Reads heldout.bin and heldout_index.json as build_corpus.py writes them. Writes heldout.bin (to
measure on) and calibration.bin (to calibrate a controller on; no document in both), each with its
index as .json. Long documents are cut at the end of a paragraph.
"""

import argparse
import os
import re
import sys

import corpus_format
from corpus_format import CorpusError, Document, SEPARATOR

HELD_OUT_BYTES = 2 * 1024 * 1024
HELD_OUT_LONGEST = 64 * 1024
CALIBRATION_BYTES = 256 * 1024
CALIBRATION_LONGEST = 16 * 1024
#: Of a domain's documents the calibration text takes at most this share of bytes.
CALIBRATION_SHARE = 0.25
# Licences that clearly allow redistribution of processed text, alone or as one choice of several.
# GFDL, LGPL alone, four-clause BSD, "verbatim" and unstated licences are left out.
ALLOWED = re.compile(
    r"^(GPL-[12]\.0(\+|-only|-or-later)?( OR [\w.-]+)*|PostgreSQL|public-domain|PUBLIC_DOMAIN"
    r"|PSF-2\.0|Linux-man-pages-copyleft)$")


def is_allowed(licence):
    """True if documents under this licence may be shipped."""
    return bool(ALLOWED.match(licence))


def cut_at_paragraph(text, longest):
    """The text, or its whole paragraphs (else lines, else characters) that fit in `longest`."""
    if len(text) <= longest:
        return text
    for end in (b"\n\n", b"\n"):
        position = text.rfind(end, 0, longest)
        if position > longest // 2:
            return text[:position + 1]
    return text[:longest].decode("utf-8", "ignore").encode()


def load(folder):
    """The documents of the corpus's held-out side."""
    index_path = os.path.join(folder, "heldout_index.json")
    data, entries = corpus_format.read_index(os.path.join(folder, "heldout.bin"), index_path)
    return [Document(entry["domain"], entry["package"], entry["source"], entry["licence"],
                     data[entry["offset"]:entry["offset"] + entry["length"]],
                     tuple(entry.get("copyright", ()))) for entry in entries]


def take(documents, quota, longest):
    """(cut documents, whole ones they came from): in order, each that still fits in the quota."""
    chosen, origins, total = [], [], 0
    for document in documents:
        text = cut_at_paragraph(document.text, longest)
        if total + len(text) + len(SEPARATOR) <= quota:
            chosen.append(Document(document.domain, document.package, document.source,
                                   document.licence, text, document.copyright))
            origins.append(document)
            total += len(text) + len(SEPARATOR)
    return chosen, origins


def select(documents, seed, purpose, total, longest, share=1.0):
    """(cut documents, whole originals): `total` bytes spread evenly over the domains.

    A domain with less than an even part gives what it has, and the others share the rest.
    """
    domains = {}
    for document in corpus_format.shuffled(documents, seed, purpose):
        domains.setdefault(document.domain, []).append(document)
    available = {name: share * sum(min(len(d.text), longest) + 1 for d in group)
                 for name, group in domains.items()}
    chosen, origins, left = [], [], total
    for position, name in enumerate(sorted(domains, key=lambda n: (available[n], n))):
        quota = min(available[name], left / (len(domains) - position))
        some, whole = take(domains[name], quota, longest)
        chosen += some
        origins += whole
        left -= sum(len(document.text) + 1 for document in some)
    return corpus_format.shuffled(chosen, seed, purpose), origins


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, metavar="DIR", help="folder of the corpus")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the text")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the selection "
                        "(default %(default)s)")
    return parser.parse_args(arguments)


def run(options):
    everything = load(options.corpus)
    documents = [document for document in everything if is_allowed(document.licence)]
    print("{} of {} held-out documents are under licences that allow shipping".format(
        len(documents), len(everything)), file=sys.stderr)
    calibration, origins = select(documents, options.seed, "calibration", CALIBRATION_BYTES,
                                  CALIBRATION_LONGEST, CALIBRATION_SHARE)
    used = set(map(id, origins))
    held_out, _ = select([d for d in documents if id(d) not in used], options.seed, "held-out",
                         HELD_OUT_BYTES, HELD_OUT_LONGEST)
    os.makedirs(options.out, exist_ok=True)
    for name, chosen in (("heldout", held_out), ("calibration", calibration)):
        data = corpus_format.write_indexed(
            os.path.join(options.out, name + ".bin"), os.path.join(options.out, name + ".json"),
            chosen, {"seed": options.seed})
        print("{}.bin: {:,} bytes, {} documents".format(name, len(data), len(chosen)))
        for domain in sorted({document.domain for document in chosen}):
            group = [document for document in chosen if document.domain == domain]
            print("  {:12} {:10,} bytes {:5} documents".format(
                domain, sum(len(document.text) for document in group), len(group)))


def main(arguments):
    try:
        run(parse_arguments(arguments))
    except (CorpusError, OSError) as error:
        print("select_text: {}".format(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
