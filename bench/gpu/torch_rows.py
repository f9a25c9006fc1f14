#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch's own operations as gpu_bench times this library's, for the rows beside them.

The same method: calls captured into a CUDA graph of at least 128, other ids and weights each call, rows in rounds in
another order each, medians over replays. Needs torch with CUDA; joules need nvidia-ml-py.

  bench/gpu/torch_rows.py --out torch.json --energy
  tools/kernel_results.py gpu_bench.json torch.json --out docs/results/kernels-h100
"""
import argparse
import json
import math
import random
import re
import sys
import time

import torch
import torch.nn.functional as F

FEW_CALLS, LEAST_CALLS, MOST_CALLS = 8, 128, 1024
LONG_ENOUGH_US, TOO_LONG_US = 1e3, 30e3
D_MODEL, D_FF, EXPERTS, TOP_K = 2048, 768, 128, 8     # Qwen3-30B-A3B
OUTPUTS, INPUTS, GROUP = 14336, 4096, 128
L2_BYTES = 50e6


class Row:
    """`make()` gives the function that enqueues call number i; `size` is what a call has to move, in bytes."""

    def __init__(self, op, shape, impl, size, make):
        self.op, self.shape, self.impl, self.size, self.make = op, shape, impl, size, make
        self.us, self.energy, self.chain, self.calls = [], None, None, 0

    def name(self):
        return "/".join([self.op, self.impl] + [f"{k}:{v}" for k, v in self.shape.items()])


def sets_to_rotate(size):
    return int(min(max(4 * L2_BYTES // max(size, 1) + 1, 8), 128))


def normal(*shape, dtype=torch.bfloat16, deviation=1.0):
    return (torch.randn(*shape, device="cuda") * deviation).to(dtype)


# --- rows

def route_rows():
    """softmax, topk, weights that sum to 1."""
    for experts in (64, 128, 256):
        for tokens in (1, 16, 64, 256, 4096, 65536):
            for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
                element = 4 if dtype == torch.float32 else 2
                size = tokens * (experts * element + TOP_K * 12)

                def make(experts=experts, tokens=tokens, dtype=dtype, size=size):
                    logits = [normal(tokens, experts, dtype=dtype, deviation=2.0) for _ in range(sets_to_rotate(size))]

                    def call(i):
                        p = torch.softmax(logits[i % len(logits)], dim=-1, dtype=torch.float32)
                        weight, expert = torch.topk(p, TOP_K, dim=-1)
                        return weight / weight.sum(dim=-1, keepdim=True), expert
                    return call
                yield Row("topk_route", {"tokens": tokens, "experts": experts, "k": TOP_K, "logits": name,
                                         "router": "softmax", "plan": "none"}, "torch",
                          size, make)


def linear_rows():
    weights = []

    def matrices():
        if not weights:
            weights.extend(normal(OUTPUTS, INPUTS) for _ in range(8))
        return weights

    for tokens in (1, 16, 64, 256, 1024):
        moved = 2 * tokens * (INPUTS + OUTPUTS)
        shape = {"tokens": tokens, "outputs": OUTPUTS, "inputs": INPUTS}

        def make_bf16(tokens=tokens):
            w, x = matrices(), normal(tokens, INPUTS)
            return lambda i: F.linear(x, w[i % len(w)])
        yield Row("linear", {**shape, "weights": "bf16"}, "torch", moved + 2 * OUTPUTS * INPUTS, make_bf16)

        packed = OUTPUTS * INPUTS // 2
        int4 = {**shape, "weights": "int4", "group": GROUP}

        def make_unfused(tokens=tokens):
            words = [torch.randint(0, 256, (OUTPUTS, INPUTS // 2), dtype=torch.uint8, device="cuda") for _ in range(8)]
            scale = normal(OUTPUTS, INPUTS // GROUP, 1, deviation=0.01)
            x = normal(tokens, INPUTS)

            def call(i):
                b = words[i % len(words)]
                q = torch.stack((b & 15, b >> 4), dim=-1).reshape(OUTPUTS, INPUTS // GROUP, GROUP)
                w = (q.to(torch.bfloat16) - 8) * scale
                return F.linear(x, w.reshape(OUTPUTS, INPUTS))
            return call
        yield Row("fused_dequant_linear", int4, "torch_dequantise", moved + packed + 2 * OUTPUTS * INPUTS // GROUP,
                  make_unfused)

        def make_int4pack(tokens=tokens):
            words = [torch._convert_weight_to_int4pack(
                torch.randint(0, 256, (OUTPUTS, INPUTS // 2), dtype=torch.uint8, device="cuda"), 8) for _ in range(8)]
            scales = normal(INPUTS // GROUP, OUTPUTS, 2, deviation=0.01)
            x = normal(tokens, INPUTS)
            return lambda i: torch._weight_int4pack_mm(x, words[i % len(words)], GROUP, scales)
        yield Row("fused_dequant_linear", {**int4, "zero_points": True}, "torch_int4pack",
                  moved + packed + 4 * OUTPUTS * INPUTS // GROUP, make_int4pack)


def ids_of_breadth(tokens, active, seed):
    """[tokens][TOP_K] ids over exactly `active` experts: docs in bench/gpu/expert_ids.h."""
    rng = random.Random(seed)
    experts = rng.sample(range(EXPERTS), active)
    popularity = [rng.gauss(0.0, 0.5) for _ in experts]
    rows, load = [], [0] * active
    for _ in range(tokens):
        keys = [p - math.log(rng.expovariate(1.0)) for p in popularity]
        row = sorted(range(active), key=lambda e: -keys[e])[:TOP_K]
        rows.append(row)
        for e in row:
            load[e] += 1
    for e in range(active):
        while load[e] == 0:
            busiest = max(range(active), key=lambda other: load[other])
            row = next(r for r in rows if busiest in r and e not in r)
            row[row.index(busiest)] = e
            load[busiest] -= 1
            load[e] += 1
    return [[experts[e] for e in row] for row in rows]


def expert_rows():
    """A layer of experts: sort by expert, gather, two grouped products, activation, combine."""
    banks = []

    def make_banks():
        if not banks:
            banks.extend((normal(EXPERTS, D_MODEL, 2 * D_FF, deviation=0.02),
                          normal(EXPERTS, D_FF, D_MODEL, deviation=0.02)) for _ in range(2))
        return banks

    grouped_mm = getattr(F, "grouped_mm", None) or torch._grouped_mm
    for tokens, active in ((1, 8), (16, 82), (16, 64), (16, 40), (16, 24), (64, 125), (256, 128), (4096, 128)):
        size = active * 3 * D_MODEL * D_FF * 2 + 2 * tokens * 2 * D_MODEL

        def make(tokens=tokens, active=active):
            sets = [(torch.tensor(ids_of_breadth(tokens, active, seed), device="cuda"), normal(tokens, D_MODEL))
                    for seed in range(16 if tokens < 1024 else 4)]
            weight = torch.full((tokens, TOP_K), 1.0 / TOP_K, device="cuda", dtype=torch.bfloat16)
            every = torch.arange(EXPERTS, device="cuda")
            held = make_banks()

            def call(i):
                ids, x = sets[i % len(sets)]
                w13, w2 = held[i % len(held)]
                by_expert, order = torch.sort(ids.reshape(-1), stable=True)
                ends = torch.searchsorted(by_expert, every, right=True).to(torch.int32)
                token = order // TOP_K
                gate, up = grouped_mm(x[token], w13, offs=ends).chunk(2, dim=-1)
                y = grouped_mm(F.silu(gate) * up, w2, offs=ends) * weight.reshape(-1)[order, None]
                return torch.zeros_like(x).index_add_(0, token, y)
            return call
        shape = {"tokens": tokens, "active": active, "experts": EXPERTS, "k": TOP_K, "d_model": D_MODEL, "d_ff": D_FF,
                 "weights": "bf16"}
        yield Row("grouped_experts", shape, "torch_grouped_mm", size, make)


def permute_rows():
    """Rows by token to rows by expert by an order that is there, and back."""
    for tokens in (16, 256, 4096):
        cells = 2 * tokens * D_MODEL

        def inputs(tokens=tokens, cells=cells):
            order = torch.randperm(tokens * TOP_K, device="cuda")
            sets = sets_to_rotate(cells)
            return [(normal(tokens, D_MODEL), normal(tokens * TOP_K, D_MODEL)) for _ in range(sets)], order

        def make_permute(inputs=inputs):
            sets, order = inputs()
            token = order // TOP_K
            return lambda i: sets[i % len(sets)][0][token]

        def make_combine(inputs=inputs, tokens=tokens):
            sets, order = inputs()
            row = torch.argsort(order)
            weight = torch.rand(tokens, 1, TOP_K, device="cuda").to(torch.bfloat16)
            return lambda i: torch.bmm(weight, sets[i % len(sets)][1][row].view(tokens, TOP_K, D_MODEL))
        shape = {"tokens": tokens, "k": TOP_K, "width": D_MODEL, "type": "bf16"}
        yield Row("permute", shape, "torch", cells * (1 + TOP_K), make_permute)
        yield Row("combine", shape, "torch", cells * (1 + TOP_K), make_combine)


# --- how they are timed

def capture(call, calls):
    for i in range(3):
        call(i)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(calls):
            call(i)
    return graph


def time_replays(row, times, meanwhile=None):
    edges = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    edges[0].record()
    for edge in edges[1:]:
        row.chain.replay()
        edge.record()
    if meanwhile:
        meanwhile()
    edges[-1].synchronize()
    return [1000.0 * a.elapsed_time(b) / row.calls for a, b in zip(edges, edges[1:])]


def make_ready(row):
    """Captures at least 128 calls and as many as take a millisecond; fewer where they would take 30 ms."""
    call = row.make()
    row.calls, row.chain = FEW_CALLS, capture(call, FEW_CALLS)
    us = time_replays(row, 3)[-1]
    row.calls = int(min(max(LONG_ENOUGH_US / us + 1, LEAST_CALLS), MOST_CALLS, max(TOO_LONG_US / us, FEW_CALLS)))
    row.chain = capture(call, row.calls)
    row.call = call  # its tensors are the graph's


def measure_energy(row, seconds, counter):
    """(joules a call, watts) between two moments at which the energy counter moved."""
    batch = max(1, round(40e3 / (time_replays(row, 1)[0] * row.calls)))
    edges, seen, us, start = [], [None], [], time.monotonic()

    def read():
        joules, at = counter(), time.monotonic()
        if seen[0] is not None and joules != seen[0] and at - start >= 0.2:
            edges.append((at, joules))
        seen[0] = joules
    while time.monotonic() - start < seconds + 2.2:
        us += time_replays(row, batch, read)
        if len(edges) > 1 and edges[-1][0] - edges[0][0] >= seconds:
            watts = (edges[-1][1] - edges[0][1]) / (edges[-1][0] - edges[0][0])
            return watts * sum(us) / len(us) * 1e-6, watts
    return None


def energy_counter():
    """Reads joules of the current device; None where NVML cannot be asked."""
    try:
        import pynvml
        pynvml.nvmlInit()
        bus = torch.cuda.get_device_properties(torch.cuda.current_device())
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(
            f"{bus.pci_domain_id:08x}:{bus.pci_bus_id:02x}:{bus.pci_device_id:02x}.0".encode())
        return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000.0
    except Exception as error:  # absent package, driver or permission: figures without joules
        print(f"torch_rows: no joules: {error}", file=sys.stderr)
        return None


def quantile(values, q):
    values = sorted(values)
    at = q * (len(values) - 1)
    below = int(at)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (at - below)


def results(rows, left_out, command):
    done = [row for row in rows if row.us]
    return {"schema": 1, "device": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda,
            "command": command, "left_out": left_out,
            "rows": [{"op": row.op, "shape": row.shape, "impl": row.impl,
                      "median_us": round(quantile(row.us, 0.5), 3), "p10_us": round(quantile(row.us, 0.1), 3),
                      "p90_us": round(quantile(row.us, 0.9), 3), "bytes": row.size,
                      "joules": row.energy and round(row.energy[0], 9), "watts": row.energy and round(row.energy[1], 1),
                      "samples": len(row.us), "calls": row.calls} for row in done]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", help="only rows whose name (--list) matches this regex")
    parser.add_argument("--list", action="store_true", help="print the rows' names and end")
    parser.add_argument("--out", help="write the results here, as JSON, after each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--replays", type=int, default=5)
    parser.add_argument("--energy", type=float, nargs="?", const=1.0, help="measure joules over so many seconds a row")
    parser.add_argument("--energy-filter", default="", help="joules of such rows only")
    arguments = parser.parse_args()

    rows = [row for row in [*route_rows(), *linear_rows(), *expert_rows(), *permute_rows()]
            if re.search(arguments.filter, row.name())]
    if arguments.list:
        print("\n".join(row.name() for row in rows))
        return 0
    if not torch.cuda.is_available():
        print("torch_rows: torch sees no CUDA device", file=sys.stderr)
        return 2
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    left_out, ready = [], []
    for row in rows:
        try:
            make_ready(row)
            ready.append(row)
        except Exception as error:  # an operation that this torch lacks should not cost the others their figures
            left_out.append(f"{row.name()}: {error}")
            print(f"torch_rows: left out: {left_out[-1]}", file=sys.stderr)

    def write():
        if arguments.out:
            with open(arguments.out, "w", encoding="utf-8") as file:
                json.dump(results(rows, left_out, " ".join(sys.argv)), file, indent=1)
                file.write("\n")
    shuffle = random.Random(1)
    for _ in range(arguments.rounds):
        for row in shuffle.sample(ready, len(ready)):
            row.chain.replay()
            row.us += time_replays(row, arguments.replays)
        write()
    counter = energy_counter() if arguments.energy else None
    for row in [row for row in ready if counter and re.search(arguments.energy_filter, row.name())]:
        row.energy = measure_energy(row, arguments.energy, counter)
    write()
    for row in ready:
        energy = f"{1000 * row.energy[0]:10.4f} mJ {row.energy[1]:5.0f} W" if row.energy else ""
        print(f"{quantile(row.us, 0.5):10.3f} us {energy}  {row.name()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
