#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bits per byte of held-out text under two compressors that a language model should beat.

  xz    lzma, preset 9 extreme, of the held-out bytes alone.
  ppm   PPMd variant H, order 5 unless --order says otherwise, after the training corpus:
        compressed(training + held-out) - compressed(training).
        It goes on learning while it codes the held-out text, which favours it.

"overall" codes the file as it is; a domain's figure codes that domain's documents alone, in the
order of the file, zero bytes between them. Needs `pip install pyppmd`, a system with fork, and
4 GiB of address space (0.3 GiB of it used at order 5). Several files share one training pass.
"""

import argparse
import json
import lzma
import os
import resource
import struct
import sys
import time

from corpus_format import CorpusError, SEPARATOR, read_index, sha256_hex, write_file

MEMORY_BYTES = 0xFFFFFFFF - 36  # the most that PPMd variant H can address
TEXT_AREA_BYTES = MEMORY_BYTES // 8  # it keeps its input here, a byte each
BLOCK_BYTES = 4 << 20


def parts_of(data, entries):
    """{"overall": data, domain: its documents joined} of a held-out file."""
    domains = {}
    for entry in entries:
        document = data[entry["offset"]:entry["offset"] + entry["length"]]
        domains.setdefault(entry["domain"], []).append(document)
    joined = {domain: SEPARATOR.join(texts) for domain, texts in sorted(domains.items())}
    return {"overall": data, **joined}


def xz_bytes(data):
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def resident_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class PpmModel:
    """A PPMd encoder that has coded the training corpus; copies of it code held-out texts."""

    def __init__(self, path, order, progress):
        try:
            import pyppmd  # only this script needs it
        except ImportError as error:
            raise CorpusError("the PPM model needs the Python package pyppmd: pip install pyppmd"
                              ) from error
        before = resident_peak()
        self._encoder = pyppmd.Ppmd7Encoder(order, MEMORY_BYTES)
        self._length = 0
        self.trained_bytes = 0
        total = os.path.getsize(path)
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(BLOCK_BYTES), b""):
                self._length += len(self._encoder.encode(block))
                self.trained_bytes += len(block)
                progress(self.trained_bytes, total)
        self._length += len(self._encoder.encode(SEPARATOR))
        # An upper bound: the buffers above are counted too.
        self.memory_used = resident_peak() - before
        self.train_length = self._coded_length(b"")

    def may_have_restarted(self, more):
        """False if the model cannot have run out of memory, and so forgotten, with `more` bytes.

        PPMd starts afresh when its text area or its pool of nodes is full; both are touched from
        their ends inwards, so a pool with untouched pages was never full.
        """
        pool = MEMORY_BYTES - TEXT_AREA_BYTES
        worst = self.memory_used + 64 * more  # nodes that the held-out text may add
        return self.trained_bytes + more >= TEXT_AREA_BYTES or worst >= pool

    def _coded_length(self, data):
        """Bytes of training text and data together. Runs in a forked copy, so nothing is learnt."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                length = self._length + len(self._encoder.encode(data)) + len(self._encoder.flush())
                os.write(writer, struct.pack("q", length))
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        answer = os.read(reader, 8)
        os.close(reader)
        os.waitpid(child, 0)
        if len(answer) != 8:
            raise CorpusError("the PPM coder failed on {} bytes; is there memory enough?"
                              .format(len(data)))
        return struct.unpack("q", answer)[0]

    def cost(self, data):
        """Bytes that the data adds to the compressed training corpus."""
        return self._coded_length(data) - self.train_length


def shown(path):
    """A relative path as it is; of an absolute one the name only, as its folders are private."""
    return os.path.basename(path) if os.path.isabs(path) else path


def compare(model, text_path, index_path):
    """Figures of one held-out file as a dictionary."""
    data, entries = read_index(text_path, index_path)
    rows = {}
    for name, part in parts_of(data, entries).items():
        xz, ppm = xz_bytes(part), model.cost(part)
        rows[name] = {"bytes": len(part), "xz_bytes": xz, "ppm_bytes": ppm,
                      "xz_bits_per_byte": round(8 * xz / len(part), 4),
                      "ppm_bits_per_byte": round(8 * ppm / len(part), 4)}
    return {"file": shown(text_path), "sha256": sha256_hex(data),
            "documents": len(entries),
            "ppm_may_have_restarted": model.may_have_restarted(len(data)),
            "overall": rows.pop("overall"), "domains": rows}


def print_table(result, order):
    print("\n{file}: {documents} documents".format(**result))
    print("{:12} {:>12} {:>10} {:>10}   bits/byte".format(
        "", "bytes", "xz -9e", "ppm-{}".format(order)))
    for name, row in [("overall", result["overall"]), *result["domains"].items()]:
        print("{:12} {:12,} {:10.4f} {:10.4f}".format(
            name, row["bytes"], row["xz_bits_per_byte"], row["ppm_bits_per_byte"]))
    if result["ppm_may_have_restarted"]:
        print("The PPM model may have run out of memory and started afresh: its figures are of a "
              "model that forgot a part of the corpus.")


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, metavar="FILE", help="train.bin of the corpus")
    parser.add_argument("--heldout", required=True, action="append", metavar="FILE",
                        help="held-out text; may be given several times")
    parser.add_argument("--index", required=True, action="append", metavar="FILE",
                        help="index of the held-out text, one for each --heldout, in their order")
    parser.add_argument("--order", type=int, default=5, metavar="N",
                        help="order of the PPM model, 2 to 64 (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    options = parser.parse_args(arguments)
    if not 2 <= options.order <= 64:
        parser.error("--order {} is not in 2..64".format(options.order))
    if len(options.heldout) != len(options.index):
        parser.error("{} --heldout but {} --index: give one index for each file".format(
            len(options.heldout), len(options.index)))
    return options


def command_of(options):
    """The command, with paths as `shown`."""
    words = ["tools/corpus/compare_compressors.py", "--order", str(options.order),
             "--train", shown(options.train)]
    for text, index in zip(options.heldout, options.index):
        words += ["--heldout", shown(text), "--index", shown(index)]
    return " ".join(words)


def run(options):
    for text, index in zip(options.heldout, options.index):
        read_index(text, index)  # a bad file is reported before the long pass
    if not os.path.isfile(options.train):
        raise CorpusError("{}: no such file; build_corpus.py writes it".format(options.train))
    started = time.monotonic()

    def progress(done, total):
        print("\rppm: {:5.1f} % of {:.0f} MB, {:.0f} s".format(
            100 * done / total, total / 1e6, time.monotonic() - started), end="",
            file=sys.stderr, flush=True)

    model = PpmModel(options.train, options.order, progress)
    print(file=sys.stderr)
    results = [compare(model, text, index)
               for text, index in zip(options.heldout, options.index)]
    print("train: {:,} bytes, compressed by ppm-{} to {:,} ({:.4f} bits/byte); model memory at "
          "most {:,} of {:,} bytes".format(model.trained_bytes, options.order, model.train_length,
                                           8 * model.train_length / model.trained_bytes,
                                           model.memory_used, MEMORY_BYTES))
    for result in results:
        print_table(result, options.order)
    if options.json:
        with open(options.train, "rb") as file:
            train_hash = sha256_hex(file.read())
        write_file(options.json, {
            "schema": 1, "command": command_of(options),
            "xz": "lzma preset 9 extreme, of the held-out bytes alone",
            "ppm": {"model": "PPMd variant H (pyppmd)", "order": options.order,
                    "memory_bytes": MEMORY_BYTES, "memory_used_at_most_bytes": model.memory_used,
                    "train_bytes": model.trained_bytes, "train_sha256": train_hash,
                    "train_compressed_bytes": model.train_length},
            "files": results})


def main(arguments):
    options = parse_arguments(arguments)
    try:
        run(options)
    except (CorpusError, OSError, KeyError) as error:
        print("compare_compressors: {}".format(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
