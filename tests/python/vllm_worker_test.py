# SPDX-License-Identifier: Apache-2.0
"""A real Worker of vLLM with MoE layers by its own factory: loaded for us, ordered about, and heard. No GPU, no weights."""
import json
import pickle
import types

import numpy as np
import pytest
import torch
import vllm_engine
import vllm_here
import vllm_worker
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.outputs import EMPTY_MODEL_RUNNER_OUTPUT, AsyncModelRunnerOutput
from vllm.v1.worker import gpu_worker
from vllm_here import moe_layer
from vllm_worker import EXPERTS, K, LAYERS, ROWS, Model

from thermoe.engine.known import UnsupportedEngineError
from thermoe.plan import RoutingPlan
from thermoe.vllm.install import install
from thermoe.vllm.messages import StepOrder, facts_of, give_order, reports_of
from thermoe.vllm.router import PricedRouter
from thermoe.vllm.settings import SettingsError
from thermoe.vllm.worker import rank_of


@pytest.fixture(autouse=True, scope="module")
def installed():
    install()
    yield
    vllm_engine.remove_core_hooks()


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "thermoe.json"
    path.write_text(json.dumps({"power_w": 300}))
    return str(path)


def make_worker(monkeypatch, additional_config, change=lambda config: None, **runner):
    monkeypatch.setattr(gpu_worker, "get_pp_group", lambda: types.SimpleNamespace(is_first_rank=True, is_last_rank=True))
    config = vllm_here.engine_config(additional_config=additional_config)
    config.scheduler_config.max_num_seqs = ROWS
    change(config)
    worker = vllm_worker.make_worker(config, **runner)
    worker.load_model()
    return worker


@pytest.fixture
def worker(settings, monkeypatch):
    return make_worker(monkeypatch, {"thermoe": settings})


def step(worker, order=None, tokens=8):
    scheduled = SchedulerOutput.make_empty()
    scheduled.total_num_scheduled_tokens = tokens
    scheduled.num_scheduled_tokens = {str(n): 1 for n in range(tokens)}
    if order is not None:
        give_order(scheduled, order)
    output = worker.execute_model(pickle.loads(pickle.dumps(scheduled)))
    if output is None:
        output = worker.sample_tokens(None)
    return output.get_output() if isinstance(output, AsyncModelRunnerOutput) else output


def order(number, *, version=1, block=None, tokens=8, prefill=False, sample=False):
    return StepOrder(number=number, version=version, block=block, valid_tokens=tokens, prefill=prefill, sample=sample)


def plan(price):
    return RoutingPlan.priced(LAYERS, EXPERTS, K, price=price).to_bytes()


def distinct(report):
    """Experts that a layer ran."""
    return (report.counts > 0).sum(1)


def seen(worker, layer=0):
    return worker.model_runner.model.layers[layer].routed_experts.seen


def test_a_model_that_is_loaded_under_settings_has_our_routers_and_tells_its_facts(worker):
    layers = worker.model_runner.model.layers
    assert all(isinstance(layer.router, PricedRouter) for layer in layers)
    assert all(layer.moe_config.routing_method.name == "Custom" for layer in layers)
    assert all(getattr(layer.moe_config, "require_decomposed_backend", True) for layer in layers)
    facts = facts_of(worker)
    assert (facts.name, facts.layers, facts.experts, facts.router.k) == ("Model", LAYERS, EXPERTS, K)
    assert facts.router.denominator == "reference"
    assert (facts.d_model, facts.d_ff, facts.gated, facts.most_rows) == (64, 32, True, ROWS)
    assert facts.selection_bias is None and facts.gpu is None
    assert pickle.loads(pickle.dumps(facts)) == facts


@pytest.mark.parametrize("additional_config", [{}, {"other": 1}])
def test_without_settings_a_worker_is_stock(monkeypatch, additional_config):
    monkeypatch.delenv("THERMOE_CONFIG", raising=False)
    worker = make_worker(monkeypatch, additional_config)
    assert not any(isinstance(layer.router, PricedRouter) for layer in worker.model_runner.model.layers)
    assert rank_of(worker) is None and facts_of(worker) is None
    assert reports_of(step(worker, order(1, block=plan(0.5)))) == []


def test_the_environments_settings_hold_where_the_engine_has_none(monkeypatch, settings):
    monkeypatch.setenv("THERMOE_CONFIG", settings)
    assert rank_of(make_worker(monkeypatch, {})) is not None


def test_warm_up_routes_as_the_model_does_at_all_rows(worker):
    worker.model_runner.run(11)
    weights, ids = seen(worker)
    stock = worker.model_runner.model.layers[0].router.inner
    stock_weights, stock_ids = stock._compute_routing(torch.zeros(11, 8), worker.model_runner.logits(11), None)
    assert torch.equal(ids, stock_ids)
    torch.testing.assert_close(weights, stock_weights, rtol=3e-7, atol=0)


def test_an_order_reaches_the_routers_and_a_report_comes_back(worker):
    first = reports_of(step(worker, order(1, block=plan(0.0))))
    second = reports_of(step(worker, order(2, version=2, block=plan(0.6), tokens=8, sample=True)))
    reports = first + second
    assert [(r.number, r.version, r.tokens, r.mixed) for r in reports] == [(1, 1, 8, False), (2, 2, 8, False)]
    assert all(r.step_time_s > 0 and r.counts.shape == (LAYERS, EXPERTS) and r.counts.dtype == np.int32 for r in reports)
    assert (reports[0].counts.sum(1) == 8 * K).all()
    assert (distinct(reports[1]) < distinct(reports[0]) // 2).all()
    weights, ids = seen(worker, 2)
    assert not weights[8:].any()
    assert torch.equal(torch.bincount(ids[weights > 0], minlength=EXPERTS).int(), torch.from_numpy(reports[1].counts[2]))
    assert reports[0].logits is None
    sampled = reports[1].logits
    assert sampled.dtype == "bfloat16" and sampled.values.shape == (LAYERS, 8, EXPERTS)
    expected = worker.model_runner.logits(11)[:8].view(torch.uint16).numpy()
    assert all(np.array_equal(layer, expected) for layer in sampled.values)
    assert pickle.loads(pickle.dumps(reports[1])).logits.values.tolist() == sampled.values.tolist()


def test_an_order_without_a_plan_keeps_the_one_in_force(worker):
    reports = [reports_of(step(worker, given))[0] for given in (order(1, block=plan(0.6)), order(2), order(3, version=2, block=plan(0)))]
    assert [report.version for report in reports] == [1, 1, 2]
    assert (distinct(reports[1]) < distinct(reports[2]) // 2).all()


def test_a_rank_that_missed_a_plan_says_which_one_it_ran_under(worker):
    step(worker, order(1, block=plan(0.0)))
    report, = reports_of(step(worker, order(2, version=7)))
    assert report.version == 1


def test_a_step_that_reads_prompts_is_not_priced(worker):
    step(worker, order(1, block=plan(5.0)))
    report, = reports_of(step(worker, order(2, prefill=True)))
    unpriced, = reports_of(step(worker, order(3, version=2, block=plan(0.0))))
    assert report.mixed and (distinct(report) > distinct(unpriced) // 2).all()


def test_a_step_without_an_order_routes_as_the_model_does_whatever_was_in_force(worker):
    biased = RoutingPlan(RoutingPlan.baseline(LAYERS, EXPERTS, K).rows, [[0.5] * 16 + [0.0] * 16] * LAYERS,
                         [[0.0] * EXPERTS] * LAYERS)
    step(worker, order(1, block=biased.to_bytes()))
    report, = reports_of(step(worker))
    stock = worker.model_runner.model.layers[0].router.inner
    _, ids = stock._compute_routing(torch.zeros(11, 8), worker.model_runner.logits(11), None)
    assert report.version == 0 and report.mixed
    assert np.array_equal(report.counts[0], np.bincount(ids[:8].flatten(), minlength=EXPERTS))
    again, = reports_of(step(worker, order(3, block=biased.to_bytes())))
    assert again.version == 1


def test_an_asynchronous_output_brings_reports_when_it_is_made(monkeypatch, settings):
    worker = make_worker(monkeypatch, {"thermoe": settings}, asynchronous=True)
    report, = reports_of(step(worker, order(1, block=plan(0.0))))
    assert report.number == 1


def test_the_empty_output_that_steps_share_stays_empty(worker):
    scheduled = SchedulerOutput.make_empty()
    rank_of(worker).begin(order(1, block=plan(0.0)), 8)
    worker.model_runner.run(11)
    rank_of(worker).end()
    output = worker.execute_model(scheduled)
    assert [report.number for report in reports_of(output)] == [1]
    assert reports_of(EMPTY_MODEL_RUNNER_OUTPUT) == []


def test_buffers_stay_where_they_are(worker):
    buffers = rank_of(worker).buffers
    step(worker, order(1, block=plan(0.0), sample=True))

    def addresses():
        return [t.data_ptr() for t in (buffers.plan.block, buffers.words, buffers.counts, buffers.samples)]
    before = addresses()
    for number in range(2, 30):
        step(worker, order(number, version=number, block=plan(0.1 * number), sample=True))
    assert addresses() == before
    assert buffers.step.tensor.data_ptr() == buffers.words.data_ptr()
    assert not any(tensor.is_inference() for tensor in (buffers.plan.block, buffers.words, buffers.counts, buffers.samples))


def test_samples_beyond_the_largest_batch_are_not_kept(worker):
    report, = reports_of(step(worker, order(1, block=plan(0.0), tokens=ROWS + 1, sample=True), tokens=ROWS + 1))
    assert report.logits is None and report.counts.sum() == LAYERS * (ROWS + 1) * K


def test_reports_that_nobody_takes_do_not_pile_up(worker):
    rank = rank_of(worker)
    for number in range(1, 60):
        rank.begin(order(number, block=plan(0.0), sample=True), 8)
        worker.model_runner.run(11)
        rank.end()
    numbers = [report.number for report in rank.take_reports()]
    assert numbers[-1] == 59 and len(numbers) <= 17
    report, = reports_of(step(worker, order(60, sample=True)))
    assert report.logits is not None  # slots are free again


def test_a_step_that_fails_leaves_nothing_behind(worker):
    for number in range(1, 4):
        worker.model_runner.fails = True
        with pytest.raises(RuntimeError, match="the model fails"):
            step(worker, order(number, block=plan(0.0), sample=True))
    worker.model_runner.fails = False
    report, = reports_of(step(worker, order(4, sample=True)))
    assert report.number == 4 and report.logits is not None


def test_orders_of_another_models_plan_take_no_slot_away(worker):
    for number in range(1, 4):
        with pytest.raises(ValueError, match="a plan of .* bytes"):
            step(worker, StepOrder(number=number, version=number, block=bytes(64), valid_tokens=8, prefill=False, sample=True))
    report, = reports_of(step(worker, order(4, sample=True)))
    assert report.number == 4 and report.logits is not None


def test_rows_are_those_of_the_captured_graph(worker):
    rank = rank_of(worker)
    rank._graph_sizes = [4, 16]
    reports = [reports_of(step(worker, order(1, block=plan(0.0), tokens=n), tokens=n))[0].rows for n in (3, 4, 5, 17)]
    assert reports == [4, 4, 16, 17]


def test_a_plan_of_another_shape_is_refused(worker):
    with pytest.raises(ValueError, match="bytes; 3 layers of 32 experts take"):
        step(worker, order(1, block=RoutingPlan.baseline(2, EXPERTS, K).to_bytes()))


def test_a_second_install_wraps_nothing_again():
    names = ("load_model", "execute_model", "sample_tokens")
    before = [getattr(gpu_worker.Worker, name) for name in names]
    install()
    assert [getattr(gpu_worker.Worker, name) for name in names] == before
    assert not any(hasattr(function.thermoe_stock, "thermoe_stock") for function in before)


def test_models_of_other_routers_do_not_load_and_the_router_is_named(monkeypatch, settings):
    with pytest.raises(UnsupportedEngineError, match=r"layers.0 of Model cannot be routed: CustomRoutingRouter is not one"):
        make_worker(monkeypatch, {"thermoe": settings}, make=lambda: Model(custom_routing_function=lambda **_: None))


def test_a_router_that_does_other_than_its_attributes_say_does_not_load(monkeypatch, settings):
    from vllm.model_executor.layers.fused_moe.router.fused_topk_router import FusedTopKRouter
    stock = FusedTopKRouter._compute_routing

    def halved(self, *arguments, **keywords):
        weights, ids = stock(self, *arguments, **keywords)
        return weights / 2, ids
    monkeypatch.setattr(FusedTopKRouter, "_compute_routing", halved)
    with pytest.raises(UnsupportedEngineError, match="FusedTopKRouter does not route torch.float32 logits .* at layers.0"):
        make_worker(monkeypatch, {"thermoe": settings})


def test_models_without_moe_layers_do_not_load(monkeypatch, settings):
    with pytest.raises(UnsupportedEngineError, match="Linear has no MoE layer that thermoe knows"):
        make_worker(monkeypatch, {"thermoe": settings}, make=lambda: torch.nn.Linear(2, 2))


def test_layers_whose_kernel_routes_by_itself_do_not_load(monkeypatch, settings):
    monkeypatch.setattr(vllm_here._Quant, "is_monolithic", True)
    with pytest.raises(UnsupportedEngineError, match=r"layers.0: its experts' kernel \(_Quant\) routes by itself .* --moe-backend"):
        make_worker(monkeypatch, {"thermoe": settings})


def test_layers_of_two_kinds_do_not_load(monkeypatch, settings):
    def mixed():
        model = Model()
        model.layers.append(moe_layer("model.layers.9.mlp.experts", top_k=2))
        return model
    with pytest.raises(UnsupportedEngineError, match="layers.3 routes among 32 experts as Router.k=2.* one shape and one kind"):
        make_worker(monkeypatch, {"thermoe": settings}, make=mixed)


def test_a_router_that_the_model_passes_itself_does_not_load(monkeypatch, settings):
    from vllm.model_executor.layers.fused_moe.router.fused_topk_router import FusedTopKRouter
    with pytest.raises(UnsupportedEngineError, match="the model gives the layer a FusedTopKRouter of its own"):
        make_worker(monkeypatch, {"thermoe": settings}, make=lambda: Model(
            router=FusedTopKRouter(top_k=K, global_num_experts=EXPERTS)))


def test_a_biased_model_tells_its_bias(monkeypatch, settings):
    bias = torch.linspace(-1, 1, EXPERTS)
    worker = make_worker(monkeypatch, {"thermoe": settings}, make=lambda: Model(
        use_grouped_topk=True, num_expert_group=8, topk_group=4, scoring_func="sigmoid", routed_scaling_factor=2.5,
        e_score_correction_bias=bias))
    facts = facts_of(worker)
    assert facts.selection_bias == ((*bias.tolist(),),) * LAYERS
    assert (facts.router.groups, facts.router.groups_kept, facts.router.scale) == (8, 4, 2.5)


def test_a_scale_that_the_runner_applies_is_not_the_routers(monkeypatch, settings):
    worker = make_worker(monkeypatch, {"thermoe": settings}, make=lambda: Model(
        scoring_func="sigmoid", routed_scaling_factor=2.5, e_score_correction_bias=torch.zeros(EXPERTS),
        apply_routed_scale_to_output=True))
    assert facts_of(worker).router.scale == 1.0


def test_replicas_of_experts_are_no_experts_of_the_logits_and_their_map_is_applied_to_our_picks(monkeypatch, settings):
    worker = make_worker(monkeypatch, {"thermoe": settings}, make=lambda: Model(enable_eplb=True, num_redundant_experts=4))
    router = worker.model_runner.model.layers[0].router
    assert (facts_of(worker).experts, router.global_num_experts) == (EXPERTS, EXPERTS + 4)
    assert router.eplb_state is not None and router.eplb_state is router.inner.eplb_state
    monkeypatch.setattr(router, "_validate_eplb_state", lambda: None)
    mapped = []
    monkeypatch.setattr(router, "_apply_eplb_mapping", lambda ids: mapped.append(ids) or ids + EXPERTS)
    _, ids = router.select_experts(torch.zeros(5, 8), torch.randn(5, EXPERTS))
    assert len(mapped) == 1 and int(ids.min()) >= EXPERTS


def test_an_engine_with_eplb_is_warned_of(monkeypatch):
    config = types.SimpleNamespace(parallel_config=types.SimpleNamespace(enable_eplb=True), model_config=None)
    from thermoe.vllm import compatibility
    monkeypatch.setattr(compatibility, "_refusals", lambda config: [])
    assert compatibility.check_engine(config) == ["EPLB balances the load that prices leave; it was not run together with them"]


def set_attribute(path, value):
    def change(config):
        *owners, name = path.split(".")
        for owner in owners:
            config = getattr(config, owner)
        object.__setattr__(config, name, value)
    return change


REFUSED = {
    "speculative decoding": set_attribute("speculative_config", object()),
    "data_parallel_size 2": set_attribute("parallel_config.data_parallel_size", 2),
    "pipeline_parallel_size 2": set_attribute("parallel_config.pipeline_parallel_size", 2),
    "prefill context parallelism": set_attribute("parallel_config.prefill_context_parallel_size", 2),
    "dual batch overlap": set_attribute("parallel_config.enable_dbo", True),
    "elastic expert parallelism": set_attribute("parallel_config.enable_elastic_ep", True),
    "LoRA": set_attribute("lora_config", object()),
}


@pytest.mark.parametrize("what", REFUSED)
def test_engines_that_cannot_be_served_are_refused_by_name(monkeypatch, settings, what):
    with pytest.raises(UnsupportedEngineError, match=f"thermoe cannot serve this engine. {what}: .*"):
        make_worker(monkeypatch, {"thermoe": settings}, REFUSED[what])


@pytest.mark.parametrize("variable, value, what", [
    ("VLLM_BATCH_INVARIANT", "1", "batch-invariant mode"),
    ("VLLM_MOE_ROUTING_SIMULATION_STRATEGY", "uniform_random", "simulated routing")])
def test_modes_of_the_environment_are_refused_by_name(monkeypatch, settings, variable, value, what):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UnsupportedEngineError, match=what):
        make_worker(monkeypatch, {"thermoe": settings})


def test_engines_that_return_routed_experts_are_refused(monkeypatch, settings):
    returned = types.SimpleNamespace(enable_return_routed_experts=True)

    def change(config):
        object.__setattr__(config, "aux_output_config" if hasattr(config, "aux_output_config") else "model_config", returned)
    with pytest.raises(UnsupportedEngineError, match="routed experts are returned"):
        make_worker(monkeypatch, {"thermoe": settings}, change)


def test_sequence_parallel_layers_are_refused(monkeypatch, settings):
    from vllm.config.parallel import ParallelConfig
    monkeypatch.setattr(ParallelConfig, "use_sequence_parallel_moe", property(lambda self: True))
    with pytest.raises(UnsupportedEngineError, match="sequence-parallel MoE"):
        make_worker(monkeypatch, {"thermoe": settings})


def test_an_engine_that_nothing_is_asked_of_is_refused_nothing(monkeypatch):
    monkeypatch.delenv("THERMOE_CONFIG", raising=False)
    make_worker(monkeypatch, {}, REFUSED["LoRA"])


def test_settings_that_cannot_be_read_end_the_engine(monkeypatch, tmp_path):
    with pytest.raises(SettingsError, match="missing.json cannot be read"):
        make_worker(monkeypatch, {"thermoe": str(tmp_path / "missing.json")})
