#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One vLLM engine on two GPUs under the plug-in: are the watts of both held, and do both ranks route alike while plans change?

    two_gpus.py --out OUT.json

Two turns under requests that arrive. In the first nothing is priced or paced; its watts of the hotter GPU give the cap, which is
that of each GPU. In the second the cap is asked for, and every rank records each step that it runs: the plan's version and
contents, the counts of all experts, sampled gate logits. After it the ranks' records are compared by the step's number. The limit
on the time between tokens is the first turn's 99th percentile; `--latency-aim 0` asks for watts alone.

Exit code 0: the ranks are alike in every step that all have seen; 1: they differ, nothing was compared, or it failed; 2: bad input.
"""
import argparse
import gc
import json
import os
import pathlib
import signal
import sys
import tempfile
import time

os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # the workers: processes of their own

import serve  # noqa: E402  says where the engine's core runs, and where modules are found

import engine  # noqa: E402
import figures  # noqa: E402
import same_steps  # noqa: E402
from arrivals import Server, poisson  # noqa: E402
from meter import Meter, NvmlGpu  # noqa: E402
from run_folders import BadInput, card_id, write_json  # noqa: E402
from strategies import OURS, PLUGIN  # noqa: E402
from turns import settings_of  # noqa: E402

TWO = {"tensor_parallel_size": 2, "enable_expert_parallel": True, "disable_custom_all_reduce": True}
MOST_GPUS = 64  # of a machine


def run(options):
    os.environ["THERMOE_CONFIG"] = str(serve.write_settings(options, engine.QWEN))
    llm, meters = engine.make_engine(engine.QWEN, None, {**TWO, **options.engine}), []
    try:
        ready_s = time.monotonic() - serve.STARTED
        print(f"vllm_proof: ready after {ready_s:.0f} s", file=sys.stderr, flush=True)
        gpus = gpus_of(llm)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="vllm_proof_meter_"))
        for index in gpus:
            meters.append(Meter(folder / f"{index}.csv", index))
        captured = llm.collective_rpc(lambda worker: engine.graphs_captured())
        engine.probe(llm.llm_engine)  # what is compiled at first use is compiled
        write_json(options.out, {
            "schema": 1, "part": engine.QWEN["part"], "commit": options.commit,
            "command": " ".join(["two_gpus.py", *serve.shown(sys.argv[1:])]),
            "engine": {**engine.made_of(llm), "arguments": {**TWO, **options.engine}, "graphs_captured": captured,
                       "ready_s": round(ready_s, 1)},
            "gpus": [card(index, gpu) for index, gpu in gpus.items()],
            "load": {"rate_per_s": options.rate, "prompt": engine.PROMPT, "length": engine.LENGTH,
                     "batch_limit": engine.BATCH_LIMIT, "seed": options.seed, "warm_s": options.warm},
            "aims": {"cap_share": options.cap_share, "power": options.power_aim, "latency": options.latency_aim,
                     "prefill_token_limit": options.prefill_limit, "control": options.control},
            **(found := turns(options, llm, meters))})
    finally:
        for meter in meters:
            meter.close()
        llm.llm_engine.engine_core.shutdown()  # ends the workers
    return 0 if same_steps.alike(found["ranks"]) else 1


def gpus_of(llm):
    """{NVML's index: GPU}, in the order of the ranks. Raises BadInput where a rank is without the plug-in or has no GPU of its own."""
    from thermoe.vllm.messages import facts_of
    facts = llm.collective_rpc(facts_of)
    if any(one is None for one in facts):
        raise BadInput(f"ranks {[rank for rank, one in enumerate(facts) if one is None]} of {len(facts)} are without the plug-in: name "
                       "its folder by PLUGIN_PATH, or install it")
    if len({one.gpu for one in facts}) < 2:
        raise BadInput(f"the engine's {len(facts)} ranks are not on two GPUs: give --engine a tensor_parallel_size of 2 or more")
    there = {}
    for index in range(MOST_GPUS):
        try:
            gpu = NvmlGpu(index)
        except OSError:
            break
        there[gpu.facts()["uuid"]] = (index, gpu)
    if missing := [rank for rank, one in enumerate(facts) if one.gpu not in there]:
        raise BadInput(f"watts cannot be read: NVML does not list the GPUs of ranks {missing}")
    return dict(there[one.gpu] for one in facts)


def card(index, gpu):
    said = gpu.facts()
    return {"index": index, **{name: said[name] for name in ("device", "driver", "power_limit_w")}, "card": card_id(said["uuid"])}


def turns(options, llm, meters):
    from watch import Watch
    server = Server(llm.llm_engine, engine.adding(llm.llm_engine), time.monotonic, time.sleep)
    watch = Watch(llm, time.monotonic, sample_s=float("inf"))
    gc.collect()
    gc.freeze()  # what an engine has made stays
    before = turn(options, server, watch, meters, "lambda0", options.stock_seconds, figures.Asked())
    watts, p99_ms = [gpu["mean_w"] for gpu in before["gpus"]], before["between_tokens"]["decode_p99_ms"]
    if None in watts or p99_ms is None:
        raise BadInput("the first turn has no watts or no time between tokens: give it more --stock-seconds, or a higher --rate")
    asked = figures.Asked(options.cap_share * max(watts), p99_ms if options.latency_aim else None)
    llm.collective_rpc(same_steps.start)  # no request is under way
    capped = turn(options, server, watch, meters, options.strategy, options.seconds, asked)
    ranks = same_steps.compare([[same_steps.Step(*step) for step in steps] for steps in llm.collective_rpc(same_steps.stop)])
    print(f"vllm_proof: ranks: {json.dumps(ranks)}", file=sys.stderr, flush=True)
    return {"turns": [before, capped], "ranks": ranks}


def turn(options, server, watch, meters, strategy, seconds, asked):
    """A turn's figures; all its requests have ended then."""
    told = settings_of(options, engine.QWEN, strategy, asked.power_w and options.power_aim * asked.power_w,
                       asked.between_tokens_ms and options.latency_aim * asked.between_tokens_ms)
    write_json(pathlib.Path(os.environ["THERMOE_CONFIG"]), told)
    begun = server.clock()
    end = begun + options.warm + seconds
    window = figures.Window(begun=begun, start=begun + options.warm, end=end, on=end, off=end)  # no tenant works
    server.take_steps()
    watch.take()
    times = poisson(options.rate, options.warm + seconds, f"{options.seed} {strategy}")
    requests = server.serve(strategy, times, lambda i: f"{strategy}.{i}", end)
    server.finish()
    server.sleep(0.25)  # the counters' next readings end the window
    readings, tokens = [meter.readings() for meter in meters], figures.latency(server.take_steps(), window)
    gpus = [drawn(one, window, asked.power_w) for one in readings]
    watts = [gpu["mean_w"] for gpu in gpus]
    found = {"strategy": strategy, "settings": told, "asked": {"power_w": asked.power_w, "between_tokens_ms": asked.between_tokens_ms},
             "seconds": seconds, "gpus": gpus, "sum_w": None if None in watts else sum(watts),
             "tokens_per_s": tokens["tokens"] / seconds, "experts": figures.experts(watch.take()[0], window),
             "between_tokens": {name: value for name, value in tokens.items() if "tenant" not in name},
             "requests": figures.requests(requests, window, asked.between_tokens_ms)}
    print(f"vllm_proof: {strategy}: {said(found)}", file=sys.stderr, flush=True)
    return found


def drawn(readings, window, cap):
    """One GPU's watts. `violations`: share of means of a second that are more than figures.OVER times the cap."""
    found = figures.power(readings, window, cap)
    kept = {name: value for name, value in found.items() if "tenant" not in name}
    by_second = [readings.watts(window.begun + i, window.begun + i + 1) for i in range(int(window.end - window.begun + 1e-6))]
    return {**kept, **({} if cap is None else {"violations": found["violations_without_tenant"]}), "watts_by_second": by_second}


def said(found):
    words = {"W": [gpu["mean_w"] for gpu in found["gpus"]], "x cap": [gpu.get("mean_over_cap") for gpu in found["gpus"]],
             "violations": [gpu.get("violations") for gpu in found["gpus"]], "tokens/s": [found["tokens_per_s"]],
             "p50 ms": [found["between_tokens"]["decode_p50_ms"]], "p99 ms": [found["between_tokens"]["decode_p99_ms"]],
             "D": [found["experts"]["active_experts"]]}
    return ", ".join(f"{name} {' '.join(f'{value:.4g}' for value in values)}" for name, values in words.items() if None not in values)


def arguments(given):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=pathlib.Path, required=True, metavar="OUT.json")
    add("--stock-seconds", type=float, default=20.0, metavar="SECONDS", help="measured, without a cap (%(default)s)")
    add("--seconds", type=float, default=40.0, help="measured, under the cap (%(default)s)")
    add("--warm", type=float, default=8.0, metavar="SECONDS", help="before either (%(default)s)")
    add("--strategy", choices=[name for name, (_, _, targets) in PLUGIN.items() if targets], default=OURS, help="(%(default)s)")
    serve.add_load(add)
    options = parser.parse_args(given)
    serve.require_positive(parser, options, "seconds", "stock_seconds", "warm", "rate", "cap_share", "power_aim")
    if options.latency_aim < 0:
        parser.error(f"--latency-aim {options.latency_aim}: expected 0 or a positive number")
    if not options.out.absolute().parent.is_dir():
        parser.error(f"--out {options.out}: its folder does not exist; make it first")
    options.trace = None
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    serve.end_by(run, arguments(sys.argv[1:]))
