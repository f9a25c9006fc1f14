#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One vLLM engine under requests that arrive: a turn for each strategy and round, each turn's figures in a file.

    serve.py --side stock  --out OUT                         vLLM without the package
    serve.py --side plugin --out OUT                         one engine; its settings file changes from turn to turn
    serve.py --side free   --out OUT                         the package installed and nothing asked of it: a probe alone
    ... --trace router_logits.safetensors                    the same on the shape of a recorded router, whose logits are played

Every strategy of a round meets the same requests. A turn is `--warm` seconds, which belong to the change of strategy, then
`--seconds` that are measured, in whose middle third another process works on the GPU. A round's power cap and its limit on
the time between tokens come from its stock turn. A turn whose file is in OUT or in a folder of --have is not run again; one
that would not end within --budget seconds is not begun; Ctrl-C ends the turn under way and keeps those before it.
"""
import argparse
import concurrent.futures
import gc
import hashlib
import json
import multiprocessing
import os
import pathlib
import platform
import random
import signal
import sys
import tempfile
import time
import traceback

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the engine in this process, whose reports are read
os.environ.setdefault("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # apply_model takes a function
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT / "tools"), str(ROOT / "examples")]

import figures  # noqa: E402
import trace_costs  # noqa: E402
from arrivals import Server, number_of, poisson, prompt  # noqa: E402
from meter import Meter, NvmlGpu  # noqa: E402
from run_folders import BadInput, card_id, read_json, write_json  # noqa: E402
from strategies import PLUGIN, STOCK, settings  # noqa: E402
from tenant import Tenant  # noqa: E402
from vllm_capped import SHAPE, VOCABULARY, graphs_captured, randomise  # noqa: E402

STARTED = time.monotonic()
COSTS_NAME = "costs.json"  # beside the settings file
COSTS = ROOT / "data/h100/vllm_cost_model.json"
QWEN = {"part": "qwen3-30b-a3b", "costed_as": "Qwen3-30B-A3B",
        "shape": {**SHAPE, "num_hidden_layers": 48, "max_window_layers": 48}}
TRACE = {"part": "gpt-oss-20b-trace", "costed_as": trace_costs.NAME,
         "shape": {**SHAPE, "num_hidden_layers": 24, "max_window_layers": 24, "num_experts": 32, "num_experts_per_tok": 4,
                   "hidden_size": 2880, "moe_intermediate_size": 2880, "intermediate_size": 8640, "num_attention_heads": 64,
                   "num_key_value_heads": 8}}
PROMPT, LENGTH, BATCH_LIMIT = 32, 256, 64
TAIL_S = 12.0  # after the last turn: its requests finish, its figures are written
PROBE = (16, 192)  # requests and tokens of the greedy probe


class Ended(Exception):
    """Ctrl-C, or the time is up."""


# --- The turns that are there, and those to run

def turn_path(folder, part, round_, strategy):
    return folder / "turns" / f"{part}-{round_}-{strategy}.json"


def finished_turn(folders, part, round_, strategy):
    """A turn's file that is whole; None: it is still to run."""
    for folder in folders:
        path = turn_path(folder, part, round_, strategy)
        if path.exists() and (turn := read_json(path)).get("complete") is True:
            return turn
    return None


def order_of_round(strategies, round_, seed):
    """The first round in the order of their names in the table, each further one in an order drawn with the seed."""
    ordered = list(strategies)
    if round_ > 1:
        random.Random(f"order {seed} {round_}").shuffle(ordered)
    return ordered


def targets_of(stock, cap_share, where):
    """(power cap, limit on the time between tokens) that a stock turn gives its round. Raises BadInput where it is not there."""
    if stock is None:
        raise BadInput(f"{where}: no finished stock turn of this round, from which cap and limit come; run --side stock first, "
                       "or name its folder by --have")
    watts, limit = stock["power"]["mean_without_tenant_w"], stock["between_tokens"]["decode_p99_ms"]
    if watts is None or limit is None:
        raise BadInput(f"{where}: the stock turn has no {'watts' if watts is None else 'time between tokens'}; run it again")
    return cap_share * watts, limit


class Plan:
    """What is left to run, within a budget."""

    def __init__(self, options, part):
        self.part, self.options = part, options
        self.folders = [options.out, *options.have]
        names = [STOCK] if options.side == "stock" else options.strategies
        self.turns = [(round_, name) for round_ in options.rounds for name in order_of_round(names, round_, options.seed)
                      if finished_turn(self.folders, part, round_, name) is None]

    def stock(self, round_):
        return finished_turn(self.folders, self.part, round_, STOCK)

    def fits(self, now):
        if self.options.budget is None:
            return True
        return now - STARTED + self.options.warm + self.options.seconds + TAIL_S <= self.options.budget


# --- The engine

def engine_arguments(options, model):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vllm_proof_"))
    write_json(folder / "config.json", model["shape"])
    arguments = {"model": str(folder), "load_format": "dummy", "skip_tokenizer_init": True, "dtype": "bfloat16", "seed": 0,
                 "max_num_seqs": BATCH_LIMIT, "max_model_len": 2048, "max_num_batched_tokens": 2048,
                 "gpu_memory_utilization": 0.88, "enable_prefix_caching": False, "disable_log_stats": True}
    return {**arguments, **options.engine}


def make_engine(options, model):
    import vllm

    if options.trace:
        import recorded_gate
        recorded_gate.install(options.trace, number_of)
    llm = vllm.LLM(**engine_arguments(options, model))
    llm.apply_model(randomise)
    return llm


def sampling(**more):
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind
    return SamplingParams(ignore_eos=True, detokenize=False, output_kind=RequestOutputKind.DELTA, **more)


def probe(engine):
    """Greedy tokens of requests that run in lockstep, and the time of a step. The first pass is for what is compiled then."""
    for turn in ("warm", "probe"):
        params, tokens, times = sampling(temperature=0.0, max_tokens=PROBE[1]), {}, []
        for number in range(PROBE[0]):
            name = f"{turn}/probe.{number}"
            tokens[name] = []
            engine.add_request(name, {"prompt_token_ids": prompt(f"probe.{number}", PROMPT, VOCABULARY)}, params)
        while engine.has_unfinished_requests():
            begun = time.perf_counter()
            outputs = engine.step()
            for output in outputs:
                tokens[output.request_id].extend(output.outputs[0].token_ids)
            if outputs:
                times.append(time.perf_counter() - begun)
    rows = list(tokens.values())
    return {"tokens": rows, "sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
            "ms_a_step": 1e3 * figures.quantile(times, 0.5)}


def thermoe_there():
    """What of the package is in this process: nothing, imported alone, or vLLM's names wrapped."""
    if not any(name.split(".")[0] == "thermoe" for name in sys.modules):
        return "not imported"
    from vllm.v1.engine.core import EngineCore
    from vllm.v1.worker.gpu_worker import Worker
    wrapped = any(hasattr(function, "thermoe_stock") for function in (EngineCore.__init__, Worker.load_model, Worker.execute_model))
    return "vLLM's names are wrapped" if wrapped else "imported, nothing of the engine is wrapped"


# --- Turns

class Turns:
    """Runs them one after the other on one engine. Each one's file is written when the last of its requests has finished,
    which is while the next one warms up."""

    def __init__(self, options, model, plan, server, meter, tenant, watch, pool, engine_facts):
        self.options, self.model, self.plan, self.server = options, model, plan, server
        self.clock, self.sleep = server.clock, server.sleep
        self.meter, self.tenant, self.watch, self.pool, self.facts = meter, tenant, watch, pool, engine_facts
        self.pending = None  # (path, figures, requests, future of its kept mass)
        self.stop = False
        self.number = 0

    def run(self, round_, strategy):
        options = self.options
        asked, aimed = figures.Asked(), None
        stock = None
        if strategy != STOCK:
            stock = self.plan.stock(round_)
            cap, limit = targets_of(stock, options.cap_share, f"{self.plan.part}, round {round_}")
            asked = figures.Asked(power_w=cap, between_tokens_ms=limit)
            aimed = self.ask(strategy, cap, limit)
        begun = self.clock()
        window = figures.Window(begun=begun, start=begun + options.warm, end=begun + options.warm + options.seconds,
                                on=begun + options.warm + options.seconds / 3, off=begun + options.warm + 2 * options.seconds / 3)
        self.server.take_steps()
        if self.watch:
            self.watch.take()
        self.number += 1
        requests = self.server.serve(self.number, poisson(options.rate, options.warm + options.seconds, f"{options.seed} {round_}"),
                                     lambda i: f"{round_}.{i}", window.end, lambda: self.between_steps(window))
        if self.tenant:
            self.tenant.set(False)
        steps = self.server.take_steps()
        reports, samples = self.watch.take() if self.watch else ([], [])
        self.sleep(0.25)  # the counter's next reading ends the window
        made = figures.turn(requests, steps, self.meter.readings(), reports, window, asked)
        facts = {"schema": 1, "part": self.plan.part, "round": round_, "strategy": strategy, "place": self.number, "settings": aimed,
                 "stock_card": stock and stock["engine"]["card"], "engine": self.facts}
        measured = [(s.at, s.number, s.tokens, s.block, s.values, s.dtype) for s in samples if s.at > window.start]
        mass = None
        if measured and self.pool:
            from kept_mass import kept_mass
            mass = self.pool.submit(kept_mass, measured, self.watch.facts.router)
        if self.pending:  # its requests have long finished: a turn is longer than a request
            self.finish_pending()
        self.pending = (turn_path(options.out, self.plan.part, round_, strategy), {**facts, **made}, requests, window, asked, mass)

    def ask(self, strategy, cap, limit):
        """Changes the engine's settings file. Returns what it says."""
        options = self.options
        asked = settings(strategy, power_w=options.power_aim * cap, between_tokens_ms=options.latency_aim * limit,
                         cost_model=COSTS_NAME, costed_as=self.model["costed_as"],
                         prefill_token_limit=options.prefill_limit, control=options.control)
        write_json(pathlib.Path(os.environ["THERMOE_CONFIG"]), asked)
        return asked

    def between_steps(self, window):
        if self.stop:
            raise Ended
        now = self.clock()
        if self.tenant:
            self.tenant.set(window.on <= now < window.off)
        if self.pending:
            *_, requests, _, _, mass = self.pending
            if all(request.finished for request in requests) and (mass is None or mass.done()):
                self.finish_pending()

    def finish_pending(self):
        """Writes the last turn's file, for which its requests are counted anew; not while some are under way."""
        if self.pending is None or not all(request.finished for request in self.pending[2]):
            return
        path, turn, requests, window, asked, mass = self.pending
        self.pending = None
        limit = asked.between_tokens_ms or turn["between_tokens"]["decode_p99_ms"]  # of stock its own, which is the round's
        turn["requests"] = figures.requests(requests, window, limit)
        turn["kept"] = mass.result() if mass else None
        turn["complete"] = True
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, turn)
        print(said(turn), file=sys.stderr, flush=True)

    def end(self):
        """The last turn's requests, too."""
        self.server.finish()
        self.finish_pending()


def said(turn):
    power, tokens, served, mass = turn["power"], turn["between_tokens"], turn["requests"], turn["kept"] or {}
    words = {"W": power["mean_w"], "x cap": power.get("mean_over_cap"), "violations": power.get("violations_without_tenant"),
             "with tenant": power.get("violations_with_tenant"), "settled s": power.get("settling_s"), "p50 ms": tokens["decode_p50_ms"],
             "p99 ms": tokens["decode_p99_ms"], "D": turn["experts"]["active_experts"], "kept": mass.get("kept_mass"),
             "J/token": turn["joules_per_token"]}
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in words.items() if value is not None)
    return f"vllm_proof: {turn['part']} round {turn['round']} {turn['strategy']}: {numbers}, requests {served['finished']}/{served['asked']}"


# --- One process

def facts_of_engine(options, llm, gpu, ready_s):
    import torch
    import vllm
    said_of = gpu.facts()
    uuid = said_of.pop("uuid")
    in_use = str(torch.cuda.get_device_properties(0).uuid)
    if uuid and in_use.removeprefix("GPU-") not in uuid:
        raise BadInput(f"--gpu {options.gpu}: the engine is on another GPU than the meter reads; give NVML's index of the engine's")
    config = llm.llm_engine.vllm_config
    return {**said_of, "card": card_id(uuid) if uuid else None, "vllm": vllm.__version__, "torch": torch.__version__,
            "python": platform.python_version(), "side": options.side, "thermoe": thermoe_there(), "commit": options.commit,
            "command": " ".join(["serve.py", *map(shown, sys.argv[1:])]), "ready_s": round(ready_s, 1),
            "graphs_captured": graphs_captured(), "graph_sizes": sorted(config.compilation_config.cudagraph_capture_sizes or []),
            "cudagraph_mode": str(config.compilation_config.cudagraph_mode), "async_scheduling": config.scheduler_config.async_scheduling,
            "load": {"rate_per_s": options.rate, "prompt": PROMPT, "length": LENGTH, "batch_limit": BATCH_LIMIT, "seed": options.seed,
                     "warm_s": options.warm, "seconds": options.seconds, "tenant_share": options.tenant_share},
            "aims": None if options.side != "plugin" else {
                "cap_share": options.cap_share, "power": options.power_aim, "latency": options.latency_aim,
                "prefill_token_limit": options.prefill_limit, "control": options.control}}


def shown(argument):
    """Without the machine's folders."""
    return pathlib.PurePath(argument).name if argument.startswith("/") else argument


def run(options):
    model = TRACE if options.trace else QWEN
    plan = Plan(options, model["part"])
    if options.side != "free" and not plan.turns:
        print(f"vllm_proof: all turns of {model['part']}, {options.side}, are there", file=sys.stderr)
        return 0
    if options.side == "plugin":
        for round_, _ in plan.turns[:1]:  # what is missing is said before an engine starts
            targets_of(plan.stock(round_), options.cap_share, f"{model['part']}, round {round_}")
        os.environ["THERMOE_CONFIG"] = str(first_settings(options, model))
    elif os.environ.pop("THERMOE_CONFIG", None):
        print(f"vllm_proof: THERMOE_CONFIG is taken away for --side {options.side}", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.gpu is not None:  # before CUDA is looked at; the tenant has it from here, too
        os.environ["CUDA_DEVICE_ORDER"], os.environ["CUDA_VISIBLE_DEVICES"] = "PCI_BUS_ID", str(options.gpu)
    try:
        gpu = NvmlGpu(options.gpu or 0)
    except OSError as error:
        raise BadInput(f"watts cannot be read: {error}") from error
    with tempfile.TemporaryDirectory() as scratch:
        tenant = Tenant(options.tenant_share) if options.side != "free" and options.tenant_share else None
        llm = make_engine(options, model)
        if tenant:
            tenant.wait()
        engine = llm.llm_engine
        ready_s = time.monotonic() - STARTED
        print(f"vllm_proof: ready after {ready_s:.0f} s", file=sys.stderr, flush=True)
        probed = probe(engine)
        facts = facts_of_engine(options, llm, gpu, ready_s)
        if options.side == "plugin" and facts["thermoe"] != "vLLM's names are wrapped":
            raise BadInput("--side plugin: the package is not in vLLM: name its folder by PLUGIN_PATH, or install it")
        write_json(options.out / f"engine-{model['part']}-{options.side}.json", {"schema": 1, "part": model["part"], **facts, "probe": probed})
        if options.side == "free":
            return 0
        return run_turns(options, model, plan, llm, tenant, facts, pathlib.Path(scratch))


def first_settings(options, model):
    """Writes the settings file that the engine starts with, its cost model beside it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="thermoe_settings_"))
    costs = json.loads(COSTS.read_text(encoding="utf-8"))
    write_json(folder / COSTS_NAME, trace_costs.cost_model(costs) if options.trace else costs)
    path = folder / "thermoe.json"
    write_json(path, settings("lambda0", power_w=None, between_tokens_ms=None, cost_model=COSTS_NAME, costed_as=model["costed_as"],
                              prefill_token_limit=options.prefill_limit, control=options.control))
    return path


def run_turns(options, model, plan, llm, tenant, facts, scratch):
    engine = llm.llm_engine
    params = sampling(temperature=1.0, max_tokens=LENGTH)

    def add(key, name):
        engine.add_request(key, {"prompt_token_ids": prompt(name, PROMPT, VOCABULARY)}, params)

    watch, pool = None, None
    if options.side == "plugin":
        from watch import Watch
        watch = Watch(llm, time.monotonic)
        pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    meter = Meter(scratch / "meter.csv", options.gpu or 0)
    turns = Turns(options, model, plan, Server(engine, add, time.monotonic, time.sleep), meter, tenant, watch, pool, facts)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(turns, "stop", True))
    left = list(plan.turns)
    gc.collect()
    gc.freeze()  # what an engine has made stays: looking through it takes milliseconds, now and then
    try:
        while left and plan.fits(time.monotonic()):
            turns.run(*left[0])
            left.pop(0)
        turns.end()
    except Ended:
        turns.finish_pending()
        print("vllm_proof: ended; the turn under way is not kept", file=sys.stderr)
    if pool:
        pool.shutdown(wait=False, cancel_futures=True)
    if left:
        print(f"vllm_proof: left: {', '.join(f'round {r} {name}' for r, name in left)}", file=sys.stderr)
    return 1 if left else 0


def arguments(given):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=("stock", "plugin", "free"), required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the turns' files")
    parser.add_argument("--have", type=pathlib.Path, action="append", default=[], metavar="FOLDER", help="turns of earlier calls")
    parser.add_argument("--trace", type=pathlib.Path, metavar="FILE", help="router logits, 24 layers of 32 experts, k 4")
    parser.add_argument("--strategies", nargs="+", choices=list(PLUGIN), default=list(PLUGIN), metavar="NAME", help=", ".join(PLUGIN))
    parser.add_argument("--rounds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="numbers of rounds (1 2 3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, of a turn (%(default)s)")
    parser.add_argument("--warm", type=float, default=10.0, metavar="SECONDS", help="before them (%(default)s)")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="of this process, its engine's start included")
    parser.add_argument("--rate", type=float, default=3.0, metavar="REQUESTS/S", help="(%(default)s)")
    parser.add_argument("--cap-share", type=float, default=0.75, help="cap over stock's watts without the tenant (%(default)s)")
    parser.add_argument("--power-aim", type=float, default=0.98,
                        help="power_w over the cap: arrivals make single seconds differ by 3 to 4 %% (%(default)s)")
    parser.add_argument("--latency-aim", type=float, default=0.95,
                        help="time_per_token_ms over the limit: one is a mean, the other a 99th percentile (%(default)s)")
    parser.add_argument("--prefill-limit", type=int, default=64, metavar="TOKENS",
                        help="prefill_token_limit of the settings: a prompt beside some decodes is priced (%(default)s)")
    parser.add_argument("--control", type=json.loads, default={"tick_s": 0.05}, metavar="JSON",
                        help="further keys of the controller's `control` (%(default)s)")
    parser.add_argument("--tenant-share", type=float, default=0.1, help="of the time that the tenant fills alone; 0: none (%(default)s)")
    parser.add_argument("--gpu", type=int, metavar="INDEX", help="of several, as NVML counts them: others may serve on the rest")
    parser.add_argument("--engine", type=json.loads, default={}, metavar="JSON", help="arguments of LLM() to add or replace")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commit", help="of the package, for the record")
    options = parser.parse_args(given)
    for name in ("seconds", "warm", "rate", "cap_share", "power_aim", "latency_aim"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} {getattr(options, name)}: expected a positive number")
    if options.trace and not options.trace.is_file():
        parser.error(f"--trace {options.trace}: no such file")
    if min(options.rounds) < 1:
        parser.error(f"--rounds {min(options.rounds)}: they are numbered from 1")
    return options


def main():
    options = arguments(sys.argv[1:])
    try:
        code = run(options)
    except BadInput as error:
        print(f"vllm_proof: {error}", file=sys.stderr)
        code = 2
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)  # the engine's threads would wait for requests


if __name__ == "__main__":
    main()
