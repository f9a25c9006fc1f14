#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A made-up router's trace, tuned to what is published of a real one.

    python3 tools/synthesise_trace.py data/traces/synthetic-e128-k8-b16.safetensors

A token's gate logits are s * (w * popularity[layer, expert] + noise), both standard normal. The
weight w of the popularity is solved so that the samples have D distinct experts a layer, which does
not depend on s; then s so that the best expert holds --share of a token's own top-k mass. All is
measured on the values that are written, which bf16 rounds. Nothing but Python is needed; the same
arguments write the same bytes.
"""

import argparse
import heapq
import json
import math
import random
import statistics
import struct
import sys


def bf16(value):
    """The 16 bits of the nearest bf16; ties to even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def float_of(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def normals(count, source):
    """Not Random.gauss, whose method may change between versions of Python."""
    inverse = statistics.NormalDist().inv_cdf
    return [inverse((source.getrandbits(52) + 0.5) / 2**52) for _ in range(count)]


def best_of(row, k):
    return heapq.nlargest(k, range(len(row)), key=lambda e: (row[e], -e))


def root(function, low, high, steps=40):
    """Where a falling function crosses zero."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


class Router:
    def __init__(self, args):
        source = random.Random(args.seed)
        self.k = args.k
        self.shape = (args.samples, args.layers, args.tokens, args.experts)
        self.popularity = [normals(args.experts, source) for _ in range(args.layers)]
        self.noise = [[[normals(args.experts, source) for _ in range(args.tokens)]
                       for _ in range(args.layers)] for _ in range(args.samples)]

    def rows(self, weight, scale):
        """[sample][layer][token][expert], as bf16 has them."""
        return [[[[float_of(bf16(scale * (weight * p + n))) for p, n in zip(popular, row)]
                  for row in batch] for popular, batch in zip(self.popularity, sample)]
                for sample in self.noise]

    def active(self, samples):
        """Distinct experts of a layer, mean over layers and samples."""
        return statistics.fmean(len({e for row in batch for e in best_of(row, self.k)})
                                for sample in samples for batch in sample)

    def shares(self, samples):
        """Mean share of a token's top-k mass, best expert first."""
        sums = [0.0] * self.k
        count = 0
        for sample in samples:
            for batch in sample:
                for row in batch:
                    best = heapq.nlargest(self.k, row)
                    mass = [math.exp(x - best[0]) for x in best]
                    total = sum(mass)
                    count += 1
                    for i, m in enumerate(mass):
                        sums[i] += m / total
        return [s / count for s in sums]


def write(path, samples, shape, metadata):
    data = b"".join(struct.pack(f"<{len(row)}H", *map(bf16, row))
                    for sample in samples for batch in sample for row in batch)
    header = json.dumps({"__metadata__": metadata,
                         "router_logits": {"dtype": "BF16", "shape": list(shape),
                                           "data_offsets": [0, len(data)]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + data)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="safetensors file to write")
    for name, default in (("samples", 60), ("layers", 4), ("tokens", 16), ("experts", 128), ("k", 8), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--active", type=float, default=48.8,
                        help="D of a sample (default 48.8: Qwen3-30B-A3B at 16 tokens, arXiv 2511.02237)")
    parser.add_argument("--share", type=float, default=0.24,
                        help="of the best expert in the top-k mass (default 0.24: OLMoE)")
    args = parser.parse_args(argv)
    router = Router(args)
    weight = root(lambda w: router.active(router.rows(w, 1.0)) - args.active, 0.0, 4.0, steps=12)
    scale = root(lambda s: args.share - router.shares(router.rows(weight, s))[0], 0.0, 4.0, steps=12)
    samples = router.rows(weight, scale)
    write(args.out, samples, router.shape,
          {"k": str(args.k), "score_function": "softmax",
           "source": f"synthetic: tools/synthesise_trace.py, seed {args.seed}"})
    print(f"{args.out}: D {router.active(samples):.2f}, weight of popularity {weight:.4f}, scale {scale:.4f}, "
          f"shares {' '.join(f'{s:.3f}' for s in router.shares(samples))}")


if __name__ == "__main__":
    main(sys.argv[1:])
