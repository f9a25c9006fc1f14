# SPDX-License-Identifier: Apache-2.0
"""What tools/measure_on_gpu measures: a table of steps, each of 480 s at most."""
import typing


class Cap(typing.NamedTuple):
    """A target made from what an earlier run of the same step measured."""
    flag: str            # of `thermoe run`
    of: str              # name of that run
    column: str          # of its metrics.csv
    last_s: float        # the mean of so long before its end
    factor: float = 1.0
    plus: float = 0.0


class Run(typing.NamedTuple):
    """One `thermoe run`; its folder has its name."""
    name: str
    experiment: str
    flags: str = ""
    variant: str = ""    # ends the name of an experiment with changes
    changes: dict = {}   # fields of the experiment in place of the file's; None removes one
    costs: str | None = None  # PROFILED: this card's profile; run whose calibration serves, or one naming the same, if made on this card; else, as for "", a new one
    cap: Cap | None = None


class Step(typing.NamedTuple):
    """A test program, runs that belong to one call, or what is profiled into the card's folder."""
    name: str
    seconds: float       # expected: some 30 s to start, 90 to calibrate, 30 for a tenant, 10 to cool down before a turn
    runs: tuple[Run, ...] = ()
    tests: str = ""
    profiles: tuple[str, ...] = ()  # arguments of `thermoe profile`


PROFILED = "profiled"
STILL = {"disturbances": [], "targets": {}}
GPT_OSS = {"description": "On a real GPU: gpt-oss-20b's recorded router under a power cap; another tenant from 20 s to 40 s.",
           "trace": {"file": "data/traces/gpt-oss-20b-b16.safetensors"},  # pack --trace
           "costed_as": {"name": "gpt-oss-20b", "layers": 24, "shape": [32, 4, 2880, 2880], "gated": True}}
PRICES = (0.0005, 0.002, 0.008, 0.03)
LAST_S = 30.0


# The grid of the cost model, and what tools/cost_model_results.py holds out of it: 24 tokens and 12 or 80 active experts lie
# between rows, 384 tokens beyond them. Times are of all points; energies of anchors in the tables and in the held-out slices.
QWEN, GPT = "--model Qwen3-30B-A3B", "--model gpt-oss-20b"
TOKENS, ACTIVE = "1 2 4 8 16 32 64 128 256", "1 2 4 8 16 24 32 48 64 96 128"
OUT_TOKENS, OUT_ACTIVE = "24 384", "12 80"
LAYERS = "--op expert_layer --energy --anchors"


def one(name, seconds, experiment, flags="", **run):
    return Step(name, seconds, (Run(name, experiment, flags, **run),))


def priced(name, seconds, experiment, duration_s):
    """STATIC_OPTIMAL at fixed prices, without target, tenant or calibration: a simulated twin has the same plans."""
    return Step(name, seconds, tuple(
        Run(f"{name}-{price}", experiment, f"--strategy STATIC_OPTIMAL --price {price}", name,
            {**STILL, "gpu": {}, "rounds": 1, "duration_s": duration_s})
        for price in PRICES))


def capped(name, seconds, experiment, flags, baseline_s, costs, changes=None, **cap):
    """BASELINE alone, then the others under a cap made from how it ended. `costs`: as a Run has it."""
    before = f"{name}-baseline"
    return Step(name, seconds, (
        Run(before, experiment, "--strategy BASELINE", "baseline", {**(changes or {}), **STILL, "duration_s": baseline_s}, costs),
        Run(name, experiment, flags, "capped", changes or {}, costs or before, Cap(of=before, last_s=LAST_S, **cap))))


def workload(kind, experiment, costs, **changes):
    return Run(f"workload-{kind}", experiment, "", kind, {"workload": kind, **changes}, costs)


def grid(tokens, active):
    return f"--tokens {tokens} --active {active}"


# Expected seconds are of a machine whose card has cap-1's calibration already.
STEPS = (
    Step("kernels_gpu_tests", 60, tests="kernels_gpu_tests"),
    Step("moe_gpu_tests", 30, tests="moe_gpu_tests"),
    Step("machine_gpu_tests", 70, tests="machine_gpu_tests"),
    Step("profile_gpu_tests", 30, tests="profile_gpu_tests"),
    *(one(f"cap-{n}", 450 if n == 1 else 390, "experiments/gpu_cap.json", f"--round {n}", costs="" if n == 1 else "cap-1")
      for n in (1, 2, 3)),
    *(one(f"adapter-{n}", 120, "experiments/gpu_cap_adapter.json", f"--round {n}", costs="cap-1") for n in (1, 2, 3)),
    capped("temperature", 290, "experiments/gpu_temperature.json", "--strategy KERNEL_AWARE_TTHA", 120, "cap-1",
           flag="--temperature-cap", column="temperature_c", plus=-2.0),
    capped("latency", 230, "experiments/gpu_latency.json", "--strategy STATIC_OPTIMAL --strategy KERNEL_AWARE_TTHA", 40, "cap-1",
           flag="--step-cap", column="step_time_ms", factor=0.75),
    capped("trace", 460, "experiments/gpu_trace.json",
           "--strategy BASELINE --strategy STATIC_OPTIMAL --strategy KERNEL_AWARE_TTHA --strategy OPPORTUNISTIC", 40, "", GPT_OSS,
           flag="--power-cap", column="power_true_w", factor=0.75),
    priced("prices", 180, "experiments/gpu_cap.json", 20),
    priced("saturated", 180, "experiments/gpu_saturated.json", 20),
    Step("experts", 180, tuple(
        Run(f"experts-{rate}-{kind}", f"experiments/gpu_{rate}.json", "--strategy BASELINE", kind, {"expert_type": kind})
        for rate in ("saturated", "quantized") for kind in ("simple", "quantized"))),
    Step("workloads", 160, (workload("standard", "experiments/gpu_high_complexity.json", "cap-1"),
                            workload("high_complexity", "experiments/gpu_high_complexity.json", "cap-1"))),
    Step("batches", 340, (workload("small_batch", "experiments/gpu_small_batch.json", ""),
                          workload("large_batch", "experiments/gpu_large_batch.json", ""))),
    Step("profile-1", 120, profiles=(f"{QWEN} {GPT} {grid(f'{TOKENS} {OUT_TOKENS}', f'{ACTIVE} {OUT_ACTIVE}')} --repeat 10",)),
    Step("profile-2", 455, profiles=(f"{QWEN} {grid(TOKENS, ACTIVE)} {LAYERS} 30 --thermal --strain",)),
    Step("profile-3", 330, profiles=(f"{GPT} {grid(TOKENS, ACTIVE)} {LAYERS} 30",)),
    Step("profile-4", 360, profiles=(f"{QWEN} {GPT} {grid(OUT_TOKENS, f'{ACTIVE} {OUT_ACTIVE}')} {LAYERS} 16",
                                     f"{QWEN} {GPT} {grid('8 16 64 256', OUT_ACTIVE)} {LAYERS} 16")),
    # What the profile says of five minutes that it did not see, and what the card's degrees are fitted to.
    one("replay-heat", 150, "experiments/gpu_cap.json", "--strategy BASELINE --strategy KERNEL_AWARE_TTHA --round 1", costs=PROFILED),
    one("replay", 370, "experiments/gpu_cap.json", "--round 2", costs=PROFILED),
)
