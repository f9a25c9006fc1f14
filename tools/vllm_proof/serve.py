#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One vLLM engine under requests that arrive: a turn for each strategy and round, each turn's figures in a file.

    serve.py --side stock  --out OUT                         vLLM without the package
    serve.py --side plugin --out OUT                         one engine; its settings file changes from turn to turn
    serve.py --side free   --out OUT                         the package installed and nothing asked of it: a probe alone
    serve.py --side again  --out OUT                         vLLM without the package once more: whether two of its starts agree
    ... --trace router_logits.safetensors                    the same on the shape of a recorded router, whose logits are played

Every strategy of a round meets the same requests. A turn is `--warm` seconds, which belong to the change of strategy, then
`--seconds` that are measured, in whose middle third another process works on the GPU. A round's power cap and its limit on
the time between tokens come from its stock turn. A turn whose file is in OUT or in a folder of --have is not run again; one
that would not end by --until is not begun; Ctrl-C ends the turn under way and keeps those before it.
"""
import argparse
import concurrent.futures
import gc
import json
import multiprocessing
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the engine in this process, whose reports are read
os.environ.setdefault("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # apply_model takes a function
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT / "tools"), str(ROOT / "examples")]

import engine  # noqa: E402
import trace_costs  # noqa: E402
from arrivals import Server  # noqa: E402
from meter import Meter, NvmlGpu  # noqa: E402
from run_folders import BadInput, write_json  # noqa: E402
from strategies import PLUGIN  # noqa: E402
from tenant import Tenant  # noqa: E402
from turns import COSTS, Ended, Plan, Turns, settings_of  # noqa: E402

STARTED = time.monotonic()
PROBED = ("free", "again")  # sides without turns


def run(options):
    model = engine.TRACE if options.trace else engine.QWEN
    plan = Plan(options, model["part"])
    probes = options.probe_only or options.side in PROBED
    if not probes and not plan.turns:
        print(f"vllm_proof: all turns of {model['part']}, {options.side}, are there", file=sys.stderr)
        return 0
    if options.side == "plugin":
        if not probes:
            plan.targets(plan.turns[0][0])  # what is missing is said before an engine starts
        os.environ["THERMOE_CONFIG"] = str(write_settings(options, model))
    elif os.environ.pop("THERMOE_CONFIG", None):
        print(f"vllm_proof: THERMOE_CONFIG is taken away for --side {options.side}", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.gpu is not None:  # before CUDA is looked at; the tenant has it from here, too
        os.environ["CUDA_DEVICE_ORDER"], os.environ["CUDA_VISIBLE_DEVICES"] = "PCI_BUS_ID", str(options.gpu)
    try:
        gpu = NvmlGpu(options.gpu or 0)
    except OSError as error:
        raise BadInput(f"watts cannot be read: {error}") from error
    tenant = Tenant(options.tenant_share) if options.tenant_share and not probes else None
    llm = engine.make_engine(model, options.trace, options.engine)
    if tenant:
        tenant.wait()
    ready_s = time.monotonic() - STARTED
    print(f"vllm_proof: ready after {ready_s:.0f} s", file=sys.stderr, flush=True)
    probed = engine.probe(llm.llm_engine)
    if probes:  # not before turns: a profiler that was there once may cost launches something from then on
        probed["kernels"] = engine.kernels(llm.llm_engine)
    facts = {**engine.facts_of(llm, gpu), **told(options), "ready_s": round(ready_s, 1)}
    if options.side == "plugin" and facts["thermoe"] != "vLLM's names are wrapped":
        raise BadInput("--side plugin: the package is not in vLLM: name its folder by PLUGIN_PATH, or install it")
    write_json(options.out / f"engine-{model['part']}-{options.side}.json",
               {"schema": 1, "part": model["part"], **facts, "probe": probed})
    return 0 if probes else run_turns(options, model, plan, llm, tenant, facts)


def run_turns(options, model, plan, llm, tenant, facts):
    watch, pool = None, None
    if options.side == "plugin":
        from watch import Watch
        watch = Watch(llm, time.monotonic, times_steps=True)
        pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    meter = Meter(pathlib.Path(tempfile.mkdtemp(prefix="vllm_proof_meter_")) / "meter.csv", options.gpu or 0)
    server = Server(llm.llm_engine, engine.adding(llm.llm_engine), time.monotonic, time.sleep)
    turns = Turns(options, model, plan, server, meter, tenant, watch, pool, facts)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(turns, "stop", True))
    gc.collect()
    gc.freeze()  # what an engine has made stays: looking through it takes milliseconds, now and then
    left = list(plan.turns)
    try:
        while left and plan.fits(time.time()):
            turns.run(*left[0])
            left.pop(0)
        turns.end()
    except Ended:
        turns.finish_pending()
        print("vllm_proof: ended; the turn under way is not kept", file=sys.stderr)
    finally:  # whoever waits for this process's output waits for its children's ends of it, too
        for helper in (meter, tenant):
            if helper:
                helper.close()
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
    if left:
        print(f"vllm_proof: left: {', '.join(f'round {r} {name}' for r, name in left)}", file=sys.stderr)
    return 1 if left else 0


def write_settings(options, model):
    """The settings file that the engine starts with, its cost model beside it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="thermoe_settings_"))
    costs = json.loads((ROOT / "data/h100/vllm_cost_model.json").read_text(encoding="utf-8"))
    write_json(folder / COSTS, trace_costs.cost_model(costs) if options.trace else costs)
    write_json(folder / "thermoe.json", settings_of(options, model))
    return folder / "thermoe.json"


def told(options):
    """What the command said."""
    return {"side": options.side, "commit": options.commit, "command": " ".join(["serve.py", *shown(sys.argv[1:])]),
            "engine_arguments": options.engine,
            "load": {"rate_per_s": options.rate, "prompt": engine.PROMPT, "length": engine.LENGTH,
                     "batch_limit": engine.BATCH_LIMIT, "seed": options.seed, "warm_s": options.warm,
                     "seconds": options.seconds, "tenant_share": options.tenant_share},
            "aims": None if options.side != "plugin" else {
                "cap_share": options.cap_share, "power": options.power_aim, "latency": options.latency_aim,
                "prefill_token_limit": options.prefill_limit, "control": options.control}}


def shown(words):
    """Without the machine's folders and clock."""
    pairs = zip(["", *words], words)
    return [pathlib.PurePath(word).name if word.startswith("/") else word for before, word in pairs
            if "--until" not in (before, word)]


def add_load(add):
    """What every program of the proof is told: the load, what is asked of the plug-in under it, the engine."""
    add("--rate", type=float, default=3.0, metavar="REQUESTS/S", help="(%(default)s)")
    add("--cap-share", type=float, default=0.75, help="cap over stock's watts without the tenant (%(default)s)")
    add("--power-aim", type=float, default=0.985,
        help="power_w over the cap: arrivals make single seconds differ by 3 to 4 %% (%(default)s)")
    add("--latency-aim", type=float, default=0.82,
        help="time_per_token_ms over the limit: one is a mean, the other a 99th percentile, which lies 3 to 4 ms above (%(default)s)")
    add("--prefill-limit", type=int, default=64, metavar="TOKENS",
        help="prefill_token_limit of the settings: a prompt beside some decodes is priced (%(default)s)")
    add("--control", type=json.loads, default={"tick_s": 0.05}, metavar="JSON",
        help="further keys of the controller's `control` (%(default)s)")
    add("--engine", type=json.loads, default={}, metavar="JSON", help="arguments of LLM() to add or replace")
    add("--seed", type=int, default=1)
    add("--commit", help="of the package, for the record")


def require_positive(parser, options, *names):
    for name in names:
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} {getattr(options, name)}: expected a positive number")


def arguments(given):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--side", choices=("stock", "plugin", *PROBED), required=True)
    add("--out", type=pathlib.Path, required=True, help="folder of the turns' files")
    add("--have", type=pathlib.Path, action="append", default=[], metavar="FOLDER", help="turns of earlier calls")
    add("--trace", type=pathlib.Path, metavar="FILE", help="router logits, 24 layers of 32 experts, k 4")
    add("--strategies", nargs="+", choices=list(PLUGIN), default=list(PLUGIN), metavar="NAME", help=", ".join(PLUGIN))
    add("--rounds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="numbers of rounds (1 2 3)")
    add("--seconds", type=float, default=60.0, help="measured, of a turn (%(default)s)")
    add("--warm", type=float, default=10.0, metavar="SECONDS", help="before them (%(default)s)")
    add("--until", type=float, metavar="TIME", help="in seconds of the Unix epoch: no turn is begun that would not end by then")
    add("--tenant-share", type=float, default=0.1, help="of the time that the tenant fills alone; 0: none (%(default)s)")
    add("--gpu", type=int, metavar="INDEX", help="of several, as NVML counts them: others may serve on the rest")
    add("--probe-only", action="store_true", help="greedy tokens and the GPU time of kernels alone, no turns")
    add_load(add)
    options = parser.parse_args(given)
    require_positive(parser, options, "seconds", "warm", "rate", "cap_share", "power_aim", "latency_aim")
    if not 0 <= options.tenant_share <= 1:
        parser.error(f"--tenant-share {options.tenant_share}: expected 0 to 1")
    if options.trace and not options.trace.is_file():
        parser.error(f"--trace {options.trace}: no such file")
    if min(options.rounds) < 1:
        parser.error(f"--rounds {min(options.rounds)}: they are numbered from 1")
    return options


def end_by(run, options):
    """Runs it, and ends the process by its exit code."""
    try:
        code = run(options)
    except BadInput as error:
        print(f"vllm_proof: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("vllm_proof: ended; what was under way is not kept", file=sys.stderr)
        code = 130
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)  # the engine's threads would wait for requests


if __name__ == "__main__":
    end_by(run, arguments(sys.argv[1:]))
