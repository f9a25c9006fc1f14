# SPDX-License-Identifier: Apache-2.0
"""The plug-in in vLLM's own engine core, with its scheduler: orders, reports, pauses and faults; workers are played."""
import json
import logging
import threading
import time
from types import SimpleNamespace

import pytest
import vllm_engine

core = vllm_engine.import_vllm()

from thermoe.vllm import core_hooks  # noqa: E402
from thermoe.vllm.settings import read_settings  # noqa: E402
from vllm.v1.engine import EngineCoreRequestType  # noqa: E402


class Held:
    """A control source of the test's: what holds is what it says."""

    def __init__(self, settings):
        self.settings = settings
        self.version, self.block, self.step_period_s, self.sample_wanted = 1, memoryview(b"plan"), 0.0, False
        self.told = []

    def acquire(self):
        return self

    def observe(self, version, **step):
        self.told.append({"version": version, **step})


@pytest.fixture
def settings(tmp_path, source_dir):
    """On a simulated GPU."""
    data = source_dir / "data" / "h100"
    file = tmp_path / "thermoe.json"
    file.write_text(json.dumps({"power_w": 250, "objective": "throughput",
                                "costed_as": "Qwen3-30B-A3B", "cost_model": str(data / "kernel_cost_model.json"),
                                "config": {"telemetry": {"source": "simulated", "plant": str(data / "plant.json"),
                                                         "cost_model": str(data / "plant_cost_model.json")}}}))
    return read_settings(file)


@pytest.fixture
def hooked(settings, tmp_path):
    """Makes engines under the settings; all of them end with the test."""
    core_hooks.install_core_hooks(lambda vllm_config: settings)
    engines = []

    def make(*, process=False, rank=None, **options):
        config = vllm_engine.configuration(tmp_path, **options)
        engines.append(vllm_engine.make_engine(core, config, process=process,
                                               rank=rank or vllm_engine.PlayedRank(vllm_engine.FACTS)))
        return engines[-1]

    yield make
    vllm_engine.remove_core_hooks()
    for engine in engines:
        engine.shutdown()


@pytest.fixture
def governed(settings, tmp_path):
    """An engine without a controller, under what the test says."""
    def make(*, process=False, period_s=0.0, limit=0, **options):
        import dataclasses
        engine = vllm_engine.make_engine(core, vllm_engine.configuration(tmp_path, **options), process=process,
                                         rank=vllm_engine.PlayedRank(vllm_engine.FACTS))
        engine.model_executor.driver_worker.rank.plan.update = lambda block: None
        held = Held(dataclasses.replace(settings, prefill_token_limit=limit))
        held.step_period_s = period_s
        governor = core_hooks.Governor(vllm_engine.FACTS, held, batch_limit=8, paces=True)
        core_hooks._hook(engine, governor, lambda: None)
        return engine, held

    return make


@pytest.fixture
def pauses(monkeypatch):
    """Pauses in process, which are not waited for: how many steps had begun, and how long it was to be."""
    paused = []

    def watch(engine):
        def sleep(seconds):
            paused.append((len(worker_of(engine).starts), seconds))
        monkeypatch.setattr(core_hooks, "time", SimpleNamespace(sleep=sleep))
        return paused

    return watch


def worker_of(engine):
    return engine.model_executor.driver_worker


def serve(engine, most=500):
    """Until nothing is left, as LLM does; the tokens of each request."""
    tokens = {}
    for _ in range(most):
        if not engine.scheduler.has_requests() and not engine.batch_queue:
            return tokens
        outputs, _ = engine.step_fn()
        for client in (outputs or {}).values():
            for one in client.outputs:
                tokens[one.request_id] = tokens.get(one.request_id, 0) + len(one.new_token_ids)
    raise AssertionError(f"not done in {most} steps: {tokens}")


def gaps(engine):
    """Between the starts of its steps."""
    starts = [start for start, _ in worker_of(engine).starts]
    return [after - before for before, after in zip(starts, starts[1:])]


def turn(engine):
    """Of the loop of an engine process."""
    engine._process_input_queue()
    engine._process_engine_step()


PERIOD_S = 1.0  # long: what ends before half of it was not waited for, on a busy machine too
BOTH = pytest.mark.parametrize("async_scheduling", [False, True], ids=["sync", "async"])


@BOTH
def test_every_step_has_an_order_and_each_is_reported_once(governed, async_scheduling):
    engine, held = governed(async_scheduling=async_scheduling)
    vllm_engine.add(engine, vllm_engine.request("a", prompt=5, tokens=6), vllm_engine.request("b", prompt=3, tokens=3))
    assert serve(engine) == {"a": 6, "b": 3}
    orders = worker_of(engine).rank.orders
    assert [order.number for order in orders] == [1, 2, 3, 4, 5, 6]
    assert [order.valid_tokens for order in orders] == [8, 2, 2, 1, 1, 1]
    assert [order.prefill for order in orders] == [True] + [False] * 5
    assert [order.block for order in orders] == [b"plan"] + [None] * 5  # sent once
    assert [told["tokens"] for told in held.told] == [8, 2, 2, 1, 1, 1]
    assert [told["mixed"] for told in held.told] == [True] + [False] * 5
    assert sum(told["arrived"] for told in held.told) == 2
    assert held.told[0]["running"] == 2 and held.told[3]["running"] == 1 and held.told[0]["waiting"] == 0
    assert sum(told["finished"] for told in held.told) == 1  # the other ended with the last step
    assert held.told[0]["step_period_s"] == 0.0 and all(told["step_period_s"] >= 0.001 for told in held.told[1:])
    assert all(told["step_time_s"] == 0.004 and told["counts"].shape == (4, 128) for told in held.told)


def test_a_new_plan_is_sent_in_the_very_next_order_and_only_there(governed):
    engine, held = governed()
    vllm_engine.add(engine, vllm_engine.request("a", tokens=6))
    engine.step_fn()
    held.version, held.block = 2, memoryview(b"other")
    serve(engine)
    assert [(order.version, order.block) for order in worker_of(engine).rank.orders] == [
        (1, b"plan"), (2, b"other")] + [(2, None)] * 4


def test_a_rank_that_runs_another_plan_than_ordered_gets_it_anew_and_it_is_said(governed, caplog):
    engine, held = governed()
    vllm_engine.add(engine, vllm_engine.request("a", tokens=6))
    engine.step_fn()
    worker_of(engine).rank.version = 7  # as if it had missed one
    with caplog.at_level(logging.ERROR, "vllm.thermoe"):
        serve(engine)
    assert [order.block for order in worker_of(engine).rank.orders][:4] == [b"plan", None, b"plan", None]
    assert [record.message for record in caplog.records] == [
        "a rank ran step 2 under plan 7, where 1 was ordered; plans are sent anew"]


def test_mixed_steps_are_priced_up_to_the_limit(governed):
    engine, held = governed(limit=6)
    held.sample_wanted = True
    vllm_engine.add(engine, vllm_engine.request("a", prompt=5, tokens=4))
    engine.step_fn()
    vllm_engine.add(engine, vllm_engine.request("b", prompt=6, tokens=4))
    serve(engine)
    orders = worker_of(engine).rank.orders
    assert [(order.valid_tokens, order.prefill, order.sample) for order in orders[:3]] == [
        (5, False, False), (7, True, False), (2, False, True)]
    assert [told["mixed"] for told in held.told[:3]] == [True, True, False]
    assert held.told[2]["logits"].shape == (4, 2, 128) and str(held.told[2]["logits"].dtype) == "torch.bfloat16"
    assert held.told[1]["logits"] is None


@BOTH
def test_in_process_decode_steps_start_a_period_apart(governed, async_scheduling):
    engine, held = governed(async_scheduling=async_scheduling, period_s=0.1)
    vllm_engine.add(engine, vllm_engine.request("a", tokens=5))
    serve(engine)
    assert [mixed for _, mixed in worker_of(engine).starts] == [True, False, False, False, False]
    assert all(gap >= 0.099 for gap in gaps(engine)[1:])  # the first follows the prompt


@BOTH
def test_in_process_no_step_waits_after_a_prompt_or_before_one(governed, pauses, async_scheduling):
    engine, held = governed(async_scheduling=async_scheduling, period_s=PERIOD_S)
    paused = pauses(engine)
    vllm_engine.add(engine, vllm_engine.request("a", tokens=6))
    while len(worker_of(engine).starts) < 3:
        engine.step_fn()
    vllm_engine.add(engine, vllm_engine.request("b", tokens=1))
    serve(engine)
    assert [mixed for _, mixed in worker_of(engine).starts] == [True, False, False, True, False, False]
    assert [steps for steps, _ in paused] == [2, 5]
    assert all(0 < seconds <= PERIOD_S for _, seconds in paused)


@pytest.mark.parametrize("period_s", [PERIOD_S, 0.0039], ids=["paced", "not paced"])  # of steps of 0.004 s
def test_tokens_of_a_step_under_way_wait_for_no_prompts_launch_where_steps_are_paced(governed, pauses, period_s):
    engine, held = governed(async_scheduling=True, period_s=period_s)
    pauses(engine)
    vllm_engine.add(engine, vllm_engine.request("a", tokens=30))
    steps = worker_of(engine).starts
    while len(steps) < 10 or not engine.batch_queue:
        engine.step_fn()
    vllm_engine.add(engine, vllm_engine.request("b", tokens=1))
    outputs, began = engine.step_fn()[0], len(steps)
    assert [len(one.new_token_ids) for client in outputs.values() for one in client.outputs] == [1]
    assert began == (10 if period_s == PERIOD_S else 11)
    serve(engine)


@pytest.mark.parametrize("process", [False, True], ids=["in process", "process"])
def test_steps_that_the_launch_makes_longer_than_the_period_are_paced_with_the_next_beside(governed, process):
    engine, held = governed(async_scheduling=True, period_s=0.05, process=process)
    worker = worker_of(engine)
    worker.step_s = 0.04
    execute = worker.execute_model

    def execute_slowly(scheduler_output):
        if worker.starts:
            time.sleep(0.02)
        return execute(scheduler_output)

    worker.execute_model = execute_slowly
    run = worker.rank.run
    busy = []  # whether a step was under way when one began

    def run_and_report(order, step_time_s, mixed):
        busy.append(bool(engine.batch_queue))
        launch_s = 0.0 if busy[-1] else 0.02
        return run(order, step_time_s + launch_s, mixed, launch_s)

    worker.rank.run = run_and_report
    vllm_engine.add(engine, vllm_engine.request("a", tokens=24))
    while engine.scheduler.has_requests() or engine.batch_queue:
        turn(engine) if process else engine.step_fn()
    assert all(busy[12:-1]) and not all(busy[:8])
    assert sum(gaps(engine)[12:-1]) / len(gaps(engine)[12:-1]) == pytest.approx(0.05, rel=0.1)


@BOTH
def test_a_pause_holds_no_finished_tokens_back(governed, async_scheduling):
    engine, held = governed(async_scheduling=async_scheduling, period_s=PERIOD_S, process=True)
    engine.input_queue.put((EngineCoreRequestType.ADD, engine.preprocess_add_request(vllm_engine.request("a", tokens=4))))
    came = []

    def take():
        while len(came) < 4:
            _, outputs = engine.output_queue.get(timeout=5)
            came.extend(time.monotonic() for one in outputs.outputs for _ in one.new_token_ids)

    taker = threading.Thread(target=take)
    taker.start()
    while taker.is_alive() and engine.scheduler.has_requests() or not came:
        turn(engine)
    taker.join()
    assert gaps(engine)[2] >= PERIOD_S - 0.001
    assert all(token - start < PERIOD_S / 2 for token, (start, _) in zip(came, worker_of(engine).starts))  # steps take 0.004 s


@BOTH
@pytest.mark.parametrize("comes", ["nothing", "arrival", "abort", "abort of the last", "utility", "shutdown"])
def test_a_pause_handles_what_comes_in_and_ends_for_an_arrival_and_at_the_end(governed, async_scheduling, comes):
    engine, held = governed(async_scheduling=async_scheduling, period_s=PERIOD_S, process=True)
    names = ["a"] if comes == "abort of the last" else ["a", "b"]
    for name in names:
        engine.input_queue.put((EngineCoreRequestType.ADD, engine.preprocess_add_request(vllm_engine.request(name, tokens=20))))
    for _ in range(3 if async_scheduling else 2):  # the prompts and one decode step
        turn(engine)
    put = {"nothing": None, "arrival": (EngineCoreRequestType.ADD, engine.preprocess_add_request(vllm_engine.request("c"))),
           "abort": (EngineCoreRequestType.ABORT, ["b"]), "abort of the last": (EngineCoreRequestType.ABORT, ["a"]),
           "utility": (EngineCoreRequestType.UTILITY, (0, 0, "is_scheduler_paused", ())),
           "shutdown": (EngineCoreRequestType.WAKEUP, None)}[comes]
    handled = []
    handle = engine._handle_client_request
    engine._handle_client_request = lambda kind, given: (handled.append(time.monotonic()), handle(kind, given))

    def send():
        if comes == "shutdown":
            engine.shutdown_state = core.EngineShutdownState.REQUESTED
        engine.input_queue.put(put)

    began = time.monotonic()
    if put is not None:
        threading.Timer(0.05, send).start()
    engine._process_input_queue()
    waited = time.monotonic() - began
    if put is not None:
        assert handled[0] - began < PERIOD_S / 2  # at once, not when the period is over
    assert (waited > PERIOD_S / 2) == (comes in ("nothing", "abort", "utility"))
    assert engine.scheduler.get_request_counts()[0] == {"abort": 1, "abort of the last": 0}.get(comes, len(names))


@BOTH
@pytest.mark.parametrize("period_s", [float("nan"), float("inf"), 1e9, -1.0])
def test_a_period_that_no_controller_may_ask_for_stops_no_engine(governed, async_scheduling, period_s, caplog):
    engine, held = governed(async_scheduling=async_scheduling, period_s=period_s, process=True)
    engine.input_queue.put((EngineCoreRequestType.ADD, engine.preprocess_add_request(vllm_engine.request("a", tokens=6))))
    with caplog.at_level(logging.ERROR, "vllm.thermoe"):
        while not held.told or engine.scheduler.has_requests():
            turn(engine)
    assert len(held.told) == 6
    assert ["s apart; expected 100 at most: they" in record.message for record in caplog.records] == [True] * (period_s != -1.0)


def test_a_pause_ends_when_a_new_decision_asks_for_none(governed):
    engine, held = governed(period_s=60.0, process=True)
    engine.input_queue.put((EngineCoreRequestType.ADD, engine.preprocess_add_request(vllm_engine.request("a", tokens=20))))
    for _ in range(2):
        turn(engine)
    began = time.monotonic()
    threading.Timer(0.05, lambda: setattr(held, "step_period_s", 0.0)).start()
    engine._process_input_queue()
    assert 0.05 <= time.monotonic() - began < 30


def test_a_full_batch_is_paced_though_requests_wait_and_room_is_taken_at_once(governed, pauses):
    engine, held = governed(max_num_seqs=2, period_s=PERIOD_S)
    paused = pauses(engine)
    vllm_engine.add(engine, *(vllm_engine.request(name, tokens=3) for name in "abc"))
    serve(engine)
    assert [mixed for _, mixed in worker_of(engine).starts] == [True, False, False, True, False, False]
    assert [steps for steps, _ in paused] == [2, 5]


@BOTH
def test_a_period_that_steps_fill_by_themselves_costs_no_pause(governed, async_scheduling):
    engine, held = governed(async_scheduling=async_scheduling, period_s=0.0039, process=True)  # of steps of 0.004 s
    engine.input_queue.put((EngineCoreRequestType.ADD, engine.preprocess_add_request(vllm_engine.request("a", tokens=30))))
    depth = []
    while not held.told or engine.scheduler.has_requests():
        engine._process_input_queue()
        depth.append(len(engine.batch_queue or ()))
        engine._process_engine_step()
    assert len(held.told) == 30
    if async_scheduling:  # the next step is scheduled while one runs, as ever
        assert set(depth[6:-3]) == {1}


def test_an_engine_that_was_idle_begins_at_once_and_counts_no_idle_time(governed, pauses):
    engine, held = governed(period_s=PERIOD_S)
    paused = pauses(engine)
    for name in "ab":
        vllm_engine.add(engine, vllm_engine.request(name, prompt=1, tokens=1))  # a prompt of one token is a decode step
        serve(engine)
    assert paused == [] and [told["step_period_s"] for told in held.told] == [0.0, 0.0]


def test_a_fault_of_the_plug_ins_is_said_once_and_tokens_flow_on(governed, caplog):
    engine, held = governed()
    held.acquire = lambda: 1 / 0
    vllm_engine.add(engine, vllm_engine.request("a", tokens=5))
    with caplog.at_level(logging.ERROR, "vllm.thermoe"):
        assert serve(engine) == {"a": 5}
    assert [record.message for record in caplog.records] == [
        "a fault of the plug-in's; the engine goes on: ZeroDivisionError('division by zero')"]
    assert worker_of(engine).rank.orders == []


@BOTH
def test_an_error_of_the_model_stays_an_error(governed, async_scheduling):
    engine, held = governed(async_scheduling=async_scheduling, period_s=0.05)
    vllm_engine.add(engine, vllm_engine.request("a", tokens=5))
    engine.step_fn()
    worker_of(engine).fails = ValueError("no such kernel")
    with pytest.raises(ValueError, match="no such kernel"):
        serve(engine)


def test_the_real_controller_prices_a_simulated_engine_and_ends_with_it(hooked):
    engine = hooked()
    rank = worker_of(engine).rank
    vllm_engine.add(engine, *(vllm_engine.request(f"r{n}", tokens=200) for n in range(8)))
    deadline = time.monotonic() + 60
    while not rank.plan.activation_price.any() and time.monotonic() < deadline:
        if not engine.scheduler.has_requests():
            vllm_engine.add(engine, *(vllm_engine.request(f"r{time.monotonic()}{n}", tokens=200) for n in range(8)))
        engine.step_fn()
    assert rank.plan.activation_price.any()
    assert sum(order.sample for order in rank.orders) >= 8 and len({order.version for order in rank.orders}) >= 2
    names = [thread.name for thread in threading.enumerate()]
    assert "thermoe" in names
    engine.shutdown()
    assert "thermoe" not in [thread.name for thread in threading.enumerate()]


def test_all_that_came_in_is_handled_before_the_step_that_an_arrival_starts(governed):
    engine, held = governed(period_s=PERIOD_S, process=True)
    for name in "ab":
        engine.input_queue.put((EngineCoreRequestType.ADD,
                                engine.preprocess_add_request(vllm_engine.request(name, tokens=20))))
    turn(engine)
    turn(engine)

    def send():
        with engine.input_queue.mutex:  # both at once
            engine.input_queue.queue.extend([
                (EngineCoreRequestType.ADD, engine.preprocess_add_request(vllm_engine.request("c"))),
                (EngineCoreRequestType.ABORT, ["b"])])
            engine.input_queue.not_empty.notify()

    threading.Timer(0.05, send).start()
    engine._process_input_queue()
    assert engine.scheduler.get_request_counts() == (1, 1)


def test_an_engine_whose_workers_have_no_plug_in_does_not_start(hooked, monkeypatch):
    monkeypatch.setattr(vllm_engine, "keep_facts", lambda worker, facts: None)
    ended = []
    monkeypatch.setattr(vllm_engine.PlayedWorker, "shutdown", lambda worker: ended.append(worker))
    with pytest.raises(RuntimeError, match="rank 0 of 1 has no priced routers.*Install the same thermoe there"):
        hooked()
    assert len(ended) == 1  # no worker is left behind


def test_without_settings_and_after_removal_engines_are_vllms_own(tmp_path):
    core_hooks.install_core_hooks(lambda vllm_config: None)
    core_hooks.install_core_hooks(lambda vllm_config: 1 / 0)  # a second time does nothing
    rank = vllm_engine.PlayedRank(vllm_engine.FACTS)
    engine = vllm_engine.make_engine(core, vllm_engine.configuration(tmp_path), rank=rank)
    vllm_engine.remove_core_hooks()
    assert core.EngineCore.__init__.__qualname__ == "EngineCore.__init__" and not hasattr(core.EngineCore.__init__, "__wrapped__")
    for name in ("schedule", "update_from_output", "add_request", "has_requests"):
        assert name not in vars(engine.scheduler)
    vllm_engine.add(engine, vllm_engine.request("a", tokens=3))
    assert serve(engine) == {"a": 3} and rank.orders == []
    engine.shutdown()


def test_orders_reports_and_the_question_for_facts_travel_as_vllm_sends_them():
    import pickle

    import cloudpickle
    from thermoe.vllm.messages import StepOrder, StepReport, facts_of, give_order, give_reports, keep_facts, order_of, reports_of
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.outputs import EMPTY_MODEL_RUNNER_OUTPUT, ModelRunnerOutput
    order = StepOrder(number=3, version=2, block=b"plan", valid_tokens=4, prefill=False, sample=True)
    scheduled = SchedulerOutput.make_empty()
    assert order_of(scheduled) is None
    give_order(scheduled, order)
    assert order_of(pickle.loads(pickle.dumps(scheduled, protocol=5))) == order
    output = ModelRunnerOutput(req_ids=[], req_id_to_index={})
    give_reports(output, [StepReport(number=3, version=2, tokens=4, rows=8, mixed=False, step_time_s=0.01, launch_time_s=0.0, counts=None,
                                     logits=None)])
    assert reports_of(pickle.loads(pickle.dumps(output, protocol=5))) == reports_of(output)
    assert reports_of(EMPTY_MODEL_RUNNER_OUTPUT) == []
    worker = type("Worker", (), {})()
    assert cloudpickle.loads(cloudpickle.dumps(facts_of))(worker) is None
    keep_facts(worker, vllm_engine.FACTS)
    assert cloudpickle.loads(cloudpickle.dumps(facts_of))(worker) == vllm_engine.FACTS


def test_what_is_wrapped_has_the_parameters_that_are_relied_on():
    import importlib
    import inspect
    for name, parameters in core_hooks.CORE_SIGNATURES.items():
        module, _, path = name.partition(":")
        target = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part)
        assert tuple(inspect.signature(target).parameters) == parameters, name
