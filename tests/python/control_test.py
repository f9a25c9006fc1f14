# SPDX-License-Identifier: Apache-2.0
"""thermoe.Controller over the C ABI: a model's steps in, decisions out, on a simulated GPU and the caller's time."""
import array
import ctypes
import os
import random
import shutil
import subprocess
import sys
import threading

import pytest

import thermoe
from thermoe import _c_abi, control, costs

LAYERS, EXPERTS, K, TOKENS = 4, 128, 8, 16


@pytest.fixture
def config(source_dir):
    """A model of the shipped one's shape on a simulated H100, whose time the test tells."""
    data = source_dir / "data" / "h100"
    return dict(model=dict(layers=LAYERS, experts=EXPERTS, k=K), targets=dict(power_w=300.0),
                cost_model=str(data / "kernel_cost_model.json"), costed_as="Qwen3-30B-A3B",
                telemetry=dict(source="simulated", plant=str(data / "plant.json"),
                               cost_model=str(data / "plant_cost_model.json")),
                control=dict(thread=False))


def table(code, shape, values):
    return memoryview(array.array(code, values)).cast("B").cast(code, shape=shape)


def sample(seed=1):
    """Gate logits of a step and the loads of plain top-k."""
    r = random.Random(seed)
    logits = [[[r.gauss(0, 1.5) for _ in range(EXPERTS)] for _ in range(TOKENS)] for _ in range(LAYERS)]
    counts = [[0] * EXPERTS for _ in range(LAYERS)]
    for layer in range(LAYERS):
        for row in logits[layer]:
            for e in sorted(range(EXPERTS), key=lambda e: -row[e])[:K]:
                counts[layer][e] += 1
    return dict(logits=table("f", (LAYERS, TOKENS, EXPERTS), [x for l in logits for row in l for x in row]),
                counts=table("i", (LAYERS, EXPERTS), [n for row in counts for n in row]))


def run(controller, seconds, sampled, step_s=0.02):
    for step in range(round(seconds / step_s)):
        decision = controller.acquire()
        controller.observe(version=decision.version, tokens=TOKENS, step_period_s=step_s,
                           **(sampled if decision.sample_wanted else {}))
        controller.advance(controller.now + step_s)
        controller.now += step_s
    return controller.acquire()


@pytest.fixture
def controller(config):
    with thermoe.Controller(config) as controller:
        controller.now = 0.0
        yield controller


def test_a_controller_begins_with_plain_top_k_and_says_why(controller):
    decision = controller.acquire()
    assert decision.calibrating and decision.sample_wanted and not decision.safe
    plan = decision.routing_plan()
    assert (plan.layers, plan.experts, plan.rows[0].k) == (LAYERS, EXPERTS, K)
    assert plan.to_bytes() == bytes(decision.plan)
    assert decision.active is None and decision.step_period_s == 0.0
    state = controller.state()
    assert state.plan_kind == "baseline" and "no gate logits" in state.reason
    assert state.power_w is None and state.step_time_s is None and state.predicted_power_w is None  # absent, not 0


def test_a_power_target_brings_prices_once_the_router_has_been_seen(controller):
    decision = run(controller, 6.0, sample())
    state = controller.state()
    assert not decision.calibrating and decision.version > 0
    assert max(decision.routing_plan().activation_price[0]) > 0
    assert state.plan_kind == "strategy" and state.simulated and state.price > 0
    assert 100 < state.power_w < 700 and state.steps == 300 and state.tokens == 300 * TOKENS
    assert decision.valid_for_s is not None and decision.valid_for_s > 0
    assert "simulated" in repr(controller) and "price" in repr(controller)


def test_a_decision_stays_as_it_was_whatever_the_controller_does(controller):
    first = controller.acquire()
    before = bytes(first.plan)
    run(controller, 4.0, sample())
    assert controller.acquire().version != first.version
    assert bytes(first.plan) == before
    controller.close()
    assert bytes(first.plan) == before


def test_an_engine_of_masks_gets_a_mask(config):
    with thermoe.Controller(config, applies="mask") as controller:
        controller.now = 0.0
        mask = run(controller, 4.0, sample()).active
        assert mask.shape == (LAYERS, EXPERTS)
        for layer in range(LAYERS):
            assert K <= sum(mask[layer, e] for e in range(EXPERTS)) < EXPERTS


def test_a_gpu_of_the_callers_is_known_by_its_readings(config):
    config["telemetry"] = dict(source="caller")
    with thermoe.Controller(config) as controller:
        controller.now = 0.0
        controller.set_reading(power_w=412.0, temperature_c=66.0)
        run(controller, 0.2, {})
        state = controller.state()
        assert (state.power_w, state.temperature_c, state.memory_temperature_c) == (412.0, 66.0, None)
        assert not state.simulated


def test_logits_and_counts_come_in_any_array(controller):
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    given = sample()
    logits, counts = numpy.array(given["logits"]), numpy.array(given["counts"])
    version = controller.acquire().version
    for arrays in ((given["logits"], given["counts"]), (given["logits"].toreadonly(), given["counts"]), (logits, counts),
                   (logits.astype("float16"), counts), (torch.from_numpy(logits).bfloat16(), torch.from_numpy(counts))):
        controller.observe(version=version, tokens=TOKENS, logits=arrays[0], counts=arrays[1])
    refused = {"strided": (logits[:, ::2], counts), r"float64": (logits.astype("float64"), counts),
               r"\[4, 16, 64\]": (logits[..., :64].copy(), counts), r"\[2, 128\]": (logits, counts[:2].copy())}
    for message, (l, c) in refused.items():
        with pytest.raises(thermoe.BadInputError, match=message):
            controller.observe(version=version, tokens=TOKENS, logits=l, counts=c)
    with pytest.raises(thermoe.BadInputError, match="no counts"):
        controller.observe(version=version, tokens=TOKENS, logits=logits)


def test_what_is_wrong_names_the_key_and_what_is_right(config, tmp_path):
    with pytest.raises(thermoe.BadInputError, match="targets.*powr_w.*power_w"):
        thermoe.Controller(config, targets=dict(powr_w=300))
    with pytest.raises(thermoe.BadInputError, match="nowhere.json"):
        thermoe.Controller(config, cost_model="nowhere.json")
    with pytest.raises(thermoe.BadInputError, match="engine.json"):
        thermoe.Controller(tmp_path / "engine.json")
    with pytest.raises(thermoe.BadInputError, match="by path .* and keys .targets."):
        thermoe.Controller(tmp_path / "engine.json", targets={})


def test_a_configuration_may_be_a_file(config, tmp_path):
    import json
    (tmp_path / "engine.json").write_text(json.dumps(config))
    with thermoe.Controller(tmp_path / "engine.json") as controller:
        assert controller.layers == LAYERS


def test_a_closed_controller_says_so(config):
    controller = thermoe.Controller(config)
    controller.close()
    controller.close()
    assert repr(controller) == "Controller(closed)"
    with pytest.raises(thermoe.BadInputError, match="closed"):
        controller.acquire()


def test_bad_steps_are_refused(controller):
    with pytest.raises(thermoe.BadInputError, match="tokens is 0"):
        controller.observe(version=0, tokens=0)
    with pytest.raises(thermoe.BadInputError, match="step_time_s is -1"):
        controller.observe(version=0, tokens=1, step_time_s=-1.0)
    with pytest.raises(thermoe.BadInputError, match="0 or more"):
        controller.observe(version=0, tokens=1, running=-1)
    with pytest.raises(thermoe.BadInputError, match="tokens is 4294967312"):
        controller.observe(version=0, tokens=2**32 + 16)


def test_a_controller_with_a_thread_of_its_own_decides_while_steps_go_on(config):
    config["control"] = dict(tick_s=0.02)
    config["telemetry"] = dict(source="caller")
    sampled = sample()
    with thermoe.Controller(config) as controller:
        ready = threading.Event()
        for _ in range(3000):
            controller.set_reading(power_w=450.0, power_average_w=450.0, temperature_c=60.0)
            decision = controller.acquire()
            controller.observe(version=decision.version, tokens=TOKENS, step_time_s=0.01, step_period_s=0.01,
                               **(sampled if decision.sample_wanted else {}))
            if controller.state().price > 0:
                ready.set()
                break
            ready.wait(0.01)
        assert ready.is_set(), controller.state()


def test_a_library_that_is_missing_or_none_is_named(tmp_path):
    program = "import thermoe\ntry: thermoe.Controller({})\nexcept thermoe.UnavailableError as e: print(e)"
    none = tmp_path / "libthermoe.so"
    none.write_text("no library")
    for path, said in ((tmp_path / "nowhere.so", "no such file exists"), (none, "cannot be loaded")):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "THERMOE_LIBRARY": str(path)})
        assert said in done.stdout and str(path) in done.stdout, done.stderr


def header_says(source_dir, tmp_path, expressions):
    """What a C compiler makes of integers of thermoe.h."""
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        pytest.skip("no C compiler")
    prints = [f'printf("%lld\\n", (long long)({expression}));' for expression in expressions]
    (tmp_path / "says.c").write_text("\n".join(["#include <stdio.h>", '#include "engine/thermoe.h"', "int main(void) {", *prints,
                                                "return 0; }"]))
    subprocess.run([compiler, "-I", source_dir / "src", "-o", tmp_path / "says", tmp_path / "says.c"], check=True)
    told = subprocess.run([tmp_path / "says"], capture_output=True, text=True, check=True).stdout
    return dict(zip(expressions, map(int, told.split()), strict=True))


def test_the_structs_are_the_headers(source_dir, tmp_path):
    structs = {"thermoe_decision": _c_abi.DecisionStruct, "thermoe_step": _c_abi.StepStruct,
               "thermoe_reading": _c_abi.ReadingStruct, "thermoe_state": _c_abi.StateStruct,
               "thermoe_cost": _c_abi.CostStruct}
    ours = {}
    for name, struct in structs.items():
        ours[f"sizeof(struct {name})"] = ctypes.sizeof(struct)
        for field, *_ in struct._fields_:
            ours[f"offsetof(struct {name}, {field})"] = getattr(struct, field).offset
    assert header_says(source_dir, tmp_path, ours) == ours


def test_the_numbers_are_the_headers(source_dir, tmp_path):
    same = ["OK", "BAD_INPUT", "UNAVAILABLE", "BUSY", "FAILED", "ABI_VERSION", "CHANGED", "SAFE", "EXPIRES", "SAMPLE_WANTED",
            "CALIBRATING", "MIXED", "KNOWS_SERVING", "KNOWS_LOSS"]
    ours = {f"THERMOE_{name}": getattr(_c_abi, name) for name in same}
    ours |= {f"THERMOE_{short}": _c_abi.LOGIT_TYPES[name]
             for short, name in (("F32", "float32"), ("F16", "float16"), ("BF16", "bfloat16"))}
    ours |= {f"THERMOE_PLAN_{kind.upper()}": number for number, kind in enumerate(control._PLAN_KINDS)}
    ours |= {f"THERMOE_{basis.upper()}": number for number, basis in enumerate(costs._BASES)}
    known = {name: bit for name, bit in _c_abi.STATE.items() if bit and name != "measured_step_period_s"}
    ours |= {f"THERMOE_KNOWS_{name.upper().rpartition('_')[0]}": bit for name, bit in known.items()
             if name.endswith(("_w", "_c", "_s"))}
    ours |= {f"THERMOE_KNOWS_{name.upper()}": known[name] for name in ("active_experts", "quality_loss")}
    assert _c_abi.READING.items() <= _c_abi.STATE.items()
    assert header_says(source_dir, tmp_path, ours) == ours
