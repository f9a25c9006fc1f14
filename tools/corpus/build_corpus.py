#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the text corpus of thermoe's byte-level model from Debian packages.

Downloads the packages (apt-get download: no root, nothing is installed), takes their text, and
writes train.bin, heldout.bin, heldout_index.json and corpus.json. The same packages and the same
seed give the same bytes. Needs Debian 12 (or its package sources), apt-get and dpkg-deb.
"""

import argparse
import collections
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time

import corpus_format
import near_duplicates
from corpus_format import CorpusError, SCHEMA
from corpus_sources import DOMAIN_LIMITS, READERS


# Of the seeds 1 to 24 the one whose held-out share of bytes is nearest to 1/40 in the worst of the
# domains outside the kernel; chosen on sizes, before any training.
DEFAULT_SEED = 19


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(arguments, folder, remedy):
    """Standard output of a command; CorpusError with its last words and a remedy if it fails."""
    try:
        result = subprocess.run(arguments, cwd=folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as error:
        raise CorpusError("{} is not installed; {}".format(arguments[0], remedy)) from error
    if result.returncode != 0:
        raise CorpusError("{} failed: {}\n{}".format(
            " ".join(arguments), result.stderr.strip()[-600:], remedy))
    return result.stdout


def fetch(package, folder):
    """Path of the package's .deb in `folder`; downloaded unless it is there already."""
    pattern = os.path.join(folder, glob.escape(package) + "_*.deb")
    if not glob.glob(pattern):
        run(["apt-get", "download", package], folder,
            "The package list may be old or lack it: try `apt-get update` (Debian 12 has all of "
            "them), or put the .deb into the folder given with --keep-debs.")
    found = glob.glob(pattern)
    if len(found) != 1:
        raise CorpusError("{}: {} files of package {} where one is needed: {}".format(
            folder, len(found), package, ", ".join(sorted(map(os.path.basename, found)))))
    return found[0]


def read_package(package, debs):
    """(version, documents) of one package."""
    started = time.monotonic()
    deb = fetch(package, debs)
    version = run(["dpkg-deb", "-f", deb, "Version"], debs, "Is the file whole?").strip()
    with tempfile.TemporaryDirectory(prefix="corpus-") as root:
        run(["dpkg-deb", "-x", deb, root], debs, "Delete {} and run again.".format(deb))
        documents = list(READERS[package](root))
    if not documents:
        raise CorpusError("{} {}: no text found; its layout differs from Debian 12's"
                          .format(package, version))
    say("  {:22} {:24} {:6} documents {:7.1f} MB {:5.0f} s".format(
        package, version, len(documents), sum(len(d.text) for d in documents) / 1e6,
        time.monotonic() - started))
    return version, documents


def limit_domains(documents, seed):
    """The documents by domain, each domain within its limit."""
    domains = collections.defaultdict(list)
    for document in documents:
        domains[document.domain].append(document)
    for domain, limit in DOMAIN_LIMITS.items():
        domains[domain] = corpus_format.cap_domain(domains[domain], seed, limit)
    return domains


def sizes(documents):
    return {"bytes": sum(len(d.text) for d in documents), "documents": len(documents)}


def split(domains, seed):
    """(training documents, held-out documents), each in seeded order, no near-duplicates between
    them."""
    everything = [document for group in domains.values() for document in group]
    order = corpus_format.shuffled(everything, seed)
    train = [d for d in order if not corpus_format.is_held_out(seed, d.text)]
    held_out = [d for d in order if corpus_format.is_held_out(seed, d.text)]
    say("looking for near-duplicates of {} held-out documents (some minutes)".format(
        len(held_out)))
    clean_train, clean_held_out = near_duplicates.filter_both_sides(train, held_out)
    say("{} of {} training and {} of {} held-out documents left out as near-duplicates".format(
        len(train) - len(clean_train), len(train), len(held_out) - len(clean_held_out),
        len(held_out)))
    return clean_train, clean_held_out


def write_corpus(out, seed, versions, domains):
    """Writes the four files; corpus.json last, so that it only ever describes whole files."""
    train, held_out = split(domains, seed)
    summary = os.path.join(out, "corpus.json")
    if os.path.exists(summary):
        os.remove(summary)
    train_bytes = corpus_format.join(train)
    corpus_format.write_file(os.path.join(out, "train.bin"), train_bytes)
    held_out_bytes = corpus_format.write_indexed(
        os.path.join(out, "heldout.bin"), os.path.join(out, "heldout_index.json"), held_out,
        {"seed": seed})
    description = {
        "schema": SCHEMA,
        "seed": seed,
        "held_out_one_in": corpus_format.HELD_OUT_ONE_IN,
        "most_seen": near_duplicates.MOST_SEEN,
        "separator": 0,
        "packages": [{"name": name, "version": version} for name, version in versions.items()],
        "domain_limits_bytes": DOMAIN_LIMITS,
        "domains": {
            domain: {"train": sizes([d for d in train if d.domain == domain]),
                     "heldout": sizes([d for d in held_out if d.domain == domain])}
            for domain in sorted(domains)},
        "files": {
            "train.bin": {"bytes": len(train_bytes), "documents": len(train),
                          "sha256": corpus_format.sha256_hex(train_bytes)},
            "heldout.bin": {"bytes": len(held_out_bytes), "documents": len(held_out),
                            "sha256": corpus_format.sha256_hex(held_out_bytes)}},
    }
    corpus_format.write_file(summary, description)
    return description


def print_summary(description):
    total = description["files"]["train.bin"]["bytes"]
    print("{:12} {:>12} {:>7} {:>10} {:>12} {:>10}".format(
        "domain", "train bytes", "share", "documents", "held-out", "documents"))
    for domain, parts in description["domains"].items():
        train, held_out = parts["train"], parts["heldout"]
        print("{:12} {:12,} {:6.1f}% {:10,} {:12,} {:10,}".format(
            domain, train["bytes"], 100 * train["bytes"] / total, train["documents"],
            held_out["bytes"], held_out["documents"]))
    for name, file in description["files"].items():
        print("{:12} {:12,} bytes, {:,} documents, sha256 {}".format(
            name, file["bytes"], file["documents"], file["sha256"]))


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the corpus; made "
                        "if absent")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, metavar="N",
                        help="seed of the split, the order and the domain limits (default "
                        "%(default)s)")
    parser.add_argument("--keep-debs", metavar="DIR", help="keep the packages (190 MB) here, and "
                        "use those that are already here instead of downloading")
    return parser.parse_args(arguments)


def build(options):
    for folder in filter(None, (options.out, options.keep_debs)):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise CorpusError("{}: cannot be made a folder: {}".format(
                folder, error.strerror)) from error
    debs = os.path.abspath(options.keep_debs or tempfile.mkdtemp(prefix="corpus-debs-"))
    try:
        versions, documents = {}, []
        for position, package in enumerate(READERS, start=1):
            say("[{}/{}] {}".format(position, len(READERS), package))
            versions[package], found = read_package(package, debs)
            documents += found
    finally:
        if not options.keep_debs:
            shutil.rmtree(debs, ignore_errors=True)
    unique = corpus_format.deduplicate(documents)
    say("{} documents, {} of them repeats; writing {}".format(
        len(documents), len(documents) - len(unique), options.out))
    print_summary(write_corpus(options.out, options.seed, versions,
                               limit_domains(unique, options.seed)))


def main(arguments):
    try:
        build(parse_arguments(arguments))
    except CorpusError as error:
        say("build_corpus: {}".format(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
