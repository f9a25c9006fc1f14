# SPDX-License-Identifier: Apache-2.0
"""The plug-in in SGLang's own event loops, hooked by SGLang's own registry: steps get their orders and their pauses, results
bring reports, and the controller's prices reach the experts. Without a GPU: batches and the model's forward call are played,
and the GPU that the controller believes in is simulated."""
import contextlib
import logging
import time
from types import SimpleNamespace

import pytest
import sglang_here
import torch
from sglang_here import Model

import sglang.srt.managers.scheduler as scheduler_module
from sglang.srt.disaggregation.utils import DisaggregationMode
from sglang.srt.managers.scheduler import Scheduler
from sglang.srt.model_executor.forward_batch_info import ForwardMode
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.plugins.hook_registry import HookRegistry
from thermoe.engine.known import UnsupportedEngineError
from thermoe.engine.settings import SettingsError
from thermoe.sglang import governed as governed_module, install
from thermoe.sglang.governed import as_paced

EXPERTS, K, LAYERS = 128, 8, 3
ARGUMENTS = dict(
    tp_size=1, pp_size=1, dp_size=1, ep_size=1, attn_cp_size=1, dcp_size=1, nnodes=1, speculative_algorithm=None,
    rl_on_policy_target=None, dllm_algorithm=None, elastic_ep_backend=None, lora_paths=None, enable_deterministic_inference=False,
    enable_return_routed_experts=False, enable_pd_role_switch=False, enable_pdmux=False, enable_two_batch_overlap=False,
    enable_waterfill=False, enable_lora=False, enable_torch_compile=False, enable_nvidia_megakernel=False, enable_eplb=False,
    enable_memory_saver=False, disaggregation_mode="null", moe_a2a_backend="none", max_running_requests=None,
    ep_num_redundant_experts=0, served_model_name="a-model", model_path="a/model")


class Request:
    def __init__(self, tokens):
        self.left = tokens

    def finished(self):
        return self.left <= 0


class Batch:
    """Of a ScheduleBatch what the loops and the plug-in look at."""
    spec_algorithm = SimpleNamespace(is_none=lambda: True)
    is_extend_in_batch = False

    def __init__(self, reqs, mode=ForwardMode.DECODE):
        self.reqs, self.forward_mode = reqs, mode

    def batch_size(self):
        return len(self.reqs)

    def copy(self):
        return Batch(list(self.reqs), self.forward_mode)


class Reporter:
    def start_scheduler_time_accounting(self):
        pass

    def record_scheduler_active(self, now):
        pass


class Played(Scheduler):
    """A scheduler whose leaves are played: what comes in, which batch is next, what running it is."""

    def __init__(self, runner, overlap):
        self.server_args = runner.server_args
        self.tp_worker = SimpleNamespace(model_runner=runner)
        self.enable_overlap, self.device, self.max_running_requests = overlap, "cpu", 8
        self.schedule_stream = SimpleNamespace()
        self.device_module = SimpleNamespace(StreamContext=lambda _: contextlib.nullcontext())
        self.disaggregation_mode, self.enable_pdmux, self.enable_overlap_mlx = DisaggregationMode.NULL, False, False
        self.metrics_reporter, self.request_receiver = Reporter(), self
        self.gracefully_exit = self._engine_paused = self.require_mlp_sync = self.enable_unified_memory = False
        self._deferred_input_requests, self.is_generation, self.last_batch = [], True, None
        self.running_batch, self.waiting_queue = Batch([]), []
        self.incoming = []  # (when, requests)
        self.done = lambda: False
        self.steps, self.admitted, self.results = [], [], 0

    def _poll_timeout_aborts(self):
        return []

    def recv_requests(self, local_reqs):
        now = time.monotonic()
        self.gracefully_exit = self.done()
        ready = [requests for when, requests in self.incoming if when <= now]
        self.incoming = [later for later in self.incoming if later[0] > now]
        return [request for requests in ready for request in requests]

    def process_input_requests(self, recv_reqs):
        for request in recv_reqs:
            self.handle_generate_request(request)

    def get_next_batch_to_run(self, running_batch, last_batch):
        running_batch.reqs = [request for request in running_batch.reqs if not request.finished()]
        free = self.max_running_requests - len(running_batch.reqs)
        if self.waiting_queue and free:
            new, self.waiting_queue = self.waiting_queue[:free], self.waiting_queue[free:]
            running_batch.reqs += new
            self.admitted.append(time.monotonic())
            return SimpleNamespace(running_batch=running_batch, batch_to_run=Batch(new, ForwardMode.EXTEND))
        return SimpleNamespace(running_batch=running_batch,
                               batch_to_run=Batch(list(running_batch.reqs)) if running_batch.reqs else None)

    def run_batch(self, batch):
        self.steps.append((time.monotonic(), batch.forward_mode.is_decode()))
        tokens = sum(11 for _ in batch.reqs)
        self.tp_worker.model_runner.forward(SimpleNamespace(
            forward_mode=batch.forward_mode, batch_size=len(batch.reqs),
            extend_num_tokens=None if batch.forward_mode.is_decode() else tokens))

    def launch_batch_sample_if_needed(self, batch_result, batch):
        pass


def stubs():
    """Leaves of SGLang's classes, made anew for each test: the registry replaces a function that it hooks in every module that
    has it, this one too."""
    def stock_forward(self, forward_batch, skip_attn_backend_init=None, pp_proxy_tensors=None, reinit_attn_backend=False,
                      split_forward_count=1):
        tokens = forward_batch.extend_num_tokens or forward_batch.batch_size
        self.calls += 1
        rows = tokens + 3  # padded, as a captured graph's rows are
        for index, layer in enumerate(self.model.layers):
            if index not in self.bypassed:
                generator = torch.Generator().manual_seed(100 * self.calls + index)
                out = layer(1.5 * torch.randn(rows, EXPERTS, generator=generator))
                self.ran = (forward_batch.forward_mode.is_decode(), out.topk_ids[:tokens], out.topk_weights[:tokens])
        if self.fails:
            raise RuntimeError("the model fails")

    def stock_result(self, batch, result):
        for request in batch.reqs:
            request.left -= 1
        self.results += 1

    def stock_idle(self):
        time.sleep(0.001)

    def stock_generate(self, recv_req, *, mm_input_error=None):
        self.waiting_queue.append(recv_req)

    return {Scheduler: {"process_batch_result": stock_result, "on_idle": stock_idle, "handle_generate_request": stock_generate},
            ModelRunner: {"forward": stock_forward, "initialize": lambda self: None}}


@pytest.fixture
def make(monkeypatch):
    """A scheduler over a runner, hooked as SGLang hooks them; the file is what THERMOE_CONFIG names."""
    replaced = stubs()
    replaced[Scheduler] |= {name: getattr(Scheduler, name) for name in ("__init__", "run_event_loop", "ingest_requests")}
    for kind, methods in replaced.items():
        for name, method in methods.items():
            monkeypatch.setattr(kind, name, method)  # and back after the test, whatever hooks have made of it
    monkeypatch.setattr(scheduler_module, "get_parallel", lambda: SimpleNamespace(
        pp_rank=0, attn_tp_rank=0, attn_cp_rank=0, pp_size=1))
    monkeypatch.setattr(scheduler_module.triton_load_watch, "install", lambda: None)
    monkeypatch.setattr(install, "check_signatures", lambda: None)  # of the stubs; sglang_entry_test.py has the real ones'
    HookRegistry.reset()
    install.install()
    HookRegistry.apply_hooks()

    def made(path, overlap=False, load=True, **arguments):
        monkeypatch.setenv("THERMOE_CONFIG", path)
        runner = object.__new__(ModelRunner)
        runner.__dict__.update(
            server_args=SimpleNamespace(**{**ARGUMENTS, **arguments}), is_draft_worker=False,
            decode_cuda_graph_capture_bs=[4, 8, 16], fails=False,
            model=Model(LAYERS, experts=EXPERTS, top_k=K), calls=0, bypassed=(), ran=None)
        if load:
            runner.initialize()
        return Played(runner, overlap)

    yield made
    HookRegistry.reset()


def serve(scheduler, done, requests=8, tokens=100, seconds=60.0):
    """Runs the loop, with that many requests at a time, again and again, until the test has seen what it waits for."""
    deadline = time.monotonic() + seconds

    def ended():
        if not scheduler.running_batch.reqs and not scheduler.waiting_queue and requests:
            scheduler.incoming.append((0.0, [Request(tokens) for _ in range(requests)]))
        assert time.monotonic() < deadline, "not in time"
        return done()

    scheduler.done = ended
    scheduler.run_event_loop()


def distinct(scheduler):
    """Experts that the last layer ran in the newest step, where that was a decode step."""
    ran = scheduler.tp_worker.model_runner.ran
    return len(ran[1].unique()) if ran is not None and ran[0] else EXPERTS


@pytest.mark.parametrize("overlap", [False, True], ids=["normal", "overlap"])
def test_a_plan_that_stays_prices_decode_steps_and_no_prompts(make, settings, overlap):
    scheduler = make(settings(config={}, plan={"price": 0.5}), overlap)
    prompts = []

    def done():
        ran = scheduler.tp_worker.model_runner.ran
        if ran is not None and not ran[0]:
            prompts.append(len(ran[1].unique()))
        return len(prompts) > 0 and distinct(scheduler) < 30

    serve(scheduler, done, tokens=5)
    assert min(prompts) > 100  # of 88 tokens' 8 picks of 128
    assert scheduler.results > 0


@pytest.mark.parametrize("overlap", [False, True], ids=["normal", "overlap"])
def test_a_targets_prices_reach_the_experts_and_a_changed_file_takes_them_away(make, settings, overlap):
    scheduler = make(settings(power_w=250, objective="throughput"), overlap)
    rank = scheduler.tp_worker.model_runner.thermoe.rank
    plan = rank.buffers.plan
    seen = []

    def done():
        if not seen and distinct(scheduler) < 45:  # of about 52 that 8 tokens' 8 picks are
            seen.append(rank.version)
            settings(power_w=2000, objective="throughput")
        return seen and not plan.activation_price.any() and rank.version > seen[0]

    serve(scheduler, done, seconds=90.0)
    assert seen


class Source:
    """A controller's place: records, and asks for a period."""

    def __init__(self, facts, period_s=0.0):
        from thermoe.engine.control_source import Held
        from thermoe.plan import RoutingPlan
        block = RoutingPlan.baseline(facts.layers, facts.experts, facts.router.k).to_bytes()
        self.held = Held(version=1, block=memoryview(block), step_period_s=period_s, sample_wanted=True,
                         settings=SimpleNamespace(prefill_token_limit=0))
        self.seen, self.fails = [], False

    def acquire(self):
        if self.fails:
            raise RuntimeError("a fault of ours")
        return self.held

    def observe(self, version, **step):
        self.seen.append(step)


@pytest.fixture
def recorded(monkeypatch):
    """Schedulers from now on have a recording source of this period."""
    made = []

    def with_period(period_s):
        def start(facts, gpus, settings, shape, **_):
            made.append((Source(facts, period_s), shape, settings))
            return made[-1][0], lambda: made.append("ended")
        monkeypatch.setattr(governed_module, "start_control", start)
        return made
    return with_period


def test_the_controller_sees_each_step_once_with_its_rows_requests_and_logits(make, settings, recorded):
    made = recorded(0.0)
    scheduler = make(settings(power_w=300))
    scheduler.incoming = [(0.0, [Request(6) for _ in range(3)])]
    serve(scheduler, lambda: scheduler.results >= 6 and not scheduler.running_batch.reqs, requests=0)
    source, shape, _ = made[0]
    assert (shape.batch_limit, shape.graph_sizes, shape.model_name) == (8, (4, 8, 16), "a-model") and made[-1] == "ended"
    assert [step["mixed"] for step in source.seen] == [True] + [False] * 5
    decode = source.seen[1:]
    assert all((step["tokens"], step["rows"]) == (3, 4) for step in decode)  # rows: a captured graph's
    assert [step["running"] for step in decode] == [3, 3, 3, 3, 0]  # once the step's output was taken
    assert all(step["counts"].sum(axis=1).tolist() == [3 * K] * LAYERS for step in decode)
    assert decode[-1]["logits"].shape == (LAYERS, 3, EXPERTS)
    assert sum(step["arrived"] for step in source.seen) == 3 and source.seen[0]["tokens"] == 33


def test_decode_steps_start_a_period_apart_and_an_arrival_ends_the_pause(make, settings, recorded):
    recorded(0.15)
    scheduler = make(settings(power_w=300))
    scheduler.incoming = [(0.0, [Request(8)]), (time.monotonic() + 0.5, [Request(8)])]
    late = scheduler.incoming[1][0]
    serve(scheduler, lambda: scheduler.results >= 8 and not scheduler.running_batch.reqs, requests=0)
    gaps = [b[0] - a[0] for a, b in zip(scheduler.steps, scheduler.steps[1:]) if a[1] and b[1]]
    assert len(gaps) >= 5 and min(gaps) >= 0.149  # prompts, and what follows them, are not paced
    assert late <= scheduler.admitted[1] < late + 0.1


def test_a_request_that_ends_frees_its_place_in_a_full_engine_before_the_pause(make, settings, recorded):
    made = recorded(0.5)  # SGLang keeps a request that has ended in its running batch until it makes the next one
    scheduler = make(settings(power_w=300))
    limit = scheduler.max_running_requests
    scheduler.incoming = [(0.0, [*(Request(8) for _ in range(limit - 1)), Request(3), Request(2)])]
    ended = []

    def done():
        ended.extend([time.monotonic()] if not ended and scheduler.results == 3 else [])
        return len(scheduler.admitted) == 2

    serve(scheduler, done, requests=0)
    assert scheduler.admitted[1] - ended[0] < 0.1
    assert [step["running"] for step in made[0][0].seen][2] == limit - 1


def test_an_idle_engine_starts_at_once(make, settings, recorded):
    recorded(30.0)
    scheduler = make(settings(power_w=300))
    scheduler.incoming = [(0.0, [Request(2)]), (time.monotonic() + 0.3, [Request(2)])]
    serve(scheduler, lambda: scheduler.results >= 4, requests=0, seconds=10.0)


def test_steps_that_overlap_are_not_paced_and_pauses_that_are_asked_for_are_refused(make, settings, caplog):
    with caplog.at_level(logging.WARNING, "sglang.thermoe"):
        paced = make(settings(power_w=300)).tp_worker.model_runner.thermoe.settings
        assert as_paced(paced, False) is paced and as_paced(paced, True).objective == "throughput"
    assert "--disable-overlap-schedule has them paced" in caplog.text
    for asked in ({"step_period_ms": 20}, {"objective": "energy"}):
        scheduler = make(settings(power_w=300, **asked), overlap=True)
        with pytest.raises(SettingsError, match=f"{next(iter(asked))} is .*--disable-overlap-schedule"):
            scheduler.run_event_loop()


def test_as_many_rows_are_sampled_as_an_engine_is_told_to_run_and_fewer_are_said(make, settings, recorded, caplog):
    made = recorded(0.0)
    for told, rows in ((512, 512), (None, 256)):
        scheduler = make(settings(power_w=300), max_running_requests=told)
        scheduler.max_running_requests = 300
        scheduler.incoming = [(0.0, [Request(6) for _ in range(300)])]
        with caplog.at_level(logging.WARNING, "sglang.thermoe"):
            serve(scheduler, lambda: scheduler.results >= 6, requests=0)
        source = made[-2][0]
        assert scheduler.tp_worker.model_runner.thermoe.rank.facts.most_rows == rows
        assert any(step["logits"] is not None for step in source.seen) == (told == 512)
        assert ("more than 256 rows are not sampled" in caplog.text) == (told is None)


def test_a_layer_that_does_not_ask_its_topk_is_said_once(make, settings, recorded, caplog):
    recorded(0.0)
    scheduler = make(settings(power_w=300))
    scheduler.tp_worker.model_runner.bypassed = (1,)
    with caplog.at_level(logging.ERROR, "sglang.thermoe"):
        serve(scheduler, lambda: scheduler.results > 20)
    assert sum("a MoE layer routed nothing" in record.message for record in caplog.records) == 1


def test_a_fault_of_the_plug_ins_is_said_once_and_tokens_flow_on(make, settings, recorded, caplog):
    made = recorded(0.0)
    scheduler = make(settings(power_w=300))

    def done():
        made[0][0].fails = scheduler.results > 5
        return scheduler.results > 30

    with caplog.at_level(logging.ERROR, "sglang.thermoe"):
        serve(scheduler, done)
    assert sum("a fault of the plug-in's; the engine goes on" in record.message for record in caplog.records) == 1
    ran = scheduler.tp_worker.model_runner.ran
    assert (ran[2] > 0).all()  # as the model routes


def test_a_step_that_fails_fails_and_the_control_ends(make, settings, recorded):
    made = recorded(0.0)
    scheduler = make(settings(power_w=300))
    scheduler.tp_worker.model_runner.fails = True
    with pytest.raises(RuntimeError, match="the model fails"):
        serve(scheduler, lambda: False)
    assert made[-1] == "ended"


def test_a_model_that_was_loaded_without_hooks_is_refused(make, settings):
    with pytest.raises(UnsupportedEngineError, match="loaded without thermoe's hooks"):
        make(settings(power_w=300), load=False).run_event_loop()


def test_an_engine_that_cannot_be_served_is_refused_before_it_is_made(make, settings):
    make(settings(power_w=300))
    with pytest.raises(UnsupportedEngineError, match="tp_size 2: .*serve on one GPU"):
        Scheduler(SimpleNamespace(**{**ARGUMENTS, "tp_size": 2}), None)
    assert sglang_here.VERSION == "0.5.23"
