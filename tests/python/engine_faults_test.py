# SPDX-License-Identifier: Apache-2.0
"""What an engine's control does when something is wrong: the controller ends, sensors fall silent, settings change, a GPU
has two engines. Needs no vLLM."""
import ctypes
import dataclasses
import json
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import vllm_engine

import thermoe
from thermoe.control import Decision
from thermoe.engine.control_source import ControlSource, LiveController
from thermoe.engine.engine_controller import EngineShape, agreed, configuration, open_controller, sensors
from thermoe.engine.gpu_claim import GpuClaims
from thermoe.engine.hottest_gpu import HottestGpu
from thermoe.engine.settings import PlanSettings
from thermoe.engine.upkeep import Upkeep
from thermoe.plan import RoutingPlan

FACTS = vllm_engine.FACTS
SHAPE = EngineShape(batch_limit=8, graph_sizes=(), model_name="a-model")
BASELINE = RoutingPlan.baseline(FACTS.layers, FACTS.experts, FACTS.router.k).to_bytes()


@dataclasses.dataclass(frozen=True)
class Settings:
    """As settings.py has them."""
    path: str
    power_w: float | None = 250.0
    temperature_c: float | None = None
    time_per_token_ms: float | None = None
    max_quality_loss: float | None = None
    objective: str | None = None
    step_period_ms: float | None = None
    prefill_token_limit: int = 0
    denominator: str = "reference"
    cost_model: str | None = None
    costed_as: str | None = "Qwen3-30B-A3B"
    config: dict = dataclasses.field(default_factory=dict)
    plan: object = None


@pytest.fixture
def settings(tmp_path, source_dir):
    """On a simulated GPU."""
    data = source_dir / "data" / "h100"
    file = tmp_path / "thermoe.json"
    file.write_text("{}")
    return Settings(path=str(file), cost_model=str(data / "kernel_cost_model.json"),
                    config={"telemetry": {"source": "simulated", "plant": str(data / "plant.json"),
                                          "cost_model": str(data / "plant_cost_model.json")}})


@pytest.fixture
def fake_nvml(tmp_path, monkeypatch):
    """Plays a script of tests/telemetry/fake_nvml."""
    library = pathlib.Path(os.environ["THERMOE_BINARY_DIR"]) / "tests" / "telemetry" / "fake_nvml" / "libthermoe_fake_nvml.so"
    if not library.exists():
        pytest.skip(f"{library} does not exist: the target thermoe_fake_nvml is not built")
    monkeypatch.setenv("THERMOE_FAKE_NVML", str(tmp_path / "script"))

    def play(text):
        (tmp_path / "next").write_text(text)
        (tmp_path / "next").rename(tmp_path / "script")
        return str(library)

    play("gpus = 1\n")
    ctypes.CDLL(str(library)).thermoe_fake_nvml_reset()  # a lost GPU stays lost
    return play


def warned(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def until(done, step=lambda: None, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < deadline, "not in time"
        step()
        time.sleep(0.005)
    return value


def stepper(source, tokens=8):
    """Serves one decode step under what holds, with a router's logits."""
    generator = torch.Generator().manual_seed(1)
    logits = 1.5 * torch.randn(FACTS.layers, tokens, FACTS.experts, generator=generator)
    picks = logits.topk(FACTS.router.k, dim=-1).indices
    counts = torch.stack([torch.bincount(layer.reshape(-1), minlength=FACTS.experts) for layer in picks]).int()

    def step():
        held = source.acquire()
        source.observe(held.version, tokens=tokens, step_time_s=0.01, step_period_s=0.012, rows=tokens, counts=counts,
                       logits=logits if held.sample_wanted else None, running=tokens, waiting=0, arrived=0, finished=0)
        return held

    return step


class Played:
    """A controller whose decisions the test makes."""

    def __init__(self, version=4, **changes):
        self.decision = Decision(version=version, plan=memoryview(b"plan"), active=None, step_period_s=0.02, valid_for_s=1.0,
                                 safe=False, sample_wanted=False, calibrating=False)
        self.told, self.closed, self.error = [], False, None
        self.change(**changes)

    def change(self, **changes):
        self.decision = dataclasses.replace(self.decision, **changes)

    def acquire(self):
        if self.error is not None:
            raise self.error
        return self.decision

    def observe(self, **step):
        if self.error is not None:
            raise self.error
        self.told.append(step)

    def close(self):
        self.closed = True


def test_a_killed_controllers_last_plan_stays_until_its_time_is_over_and_it_is_said_once(settings, caplog):
    now = 0.0
    live = open_controller(FACTS, (), dataclasses.replace(settings, config={**settings.config, "control": {"thread": False}}), SHAPE)
    live._clock = lambda: now
    source = ControlSource(live)
    step = stepper(source)
    for n in range(300):
        step()
        live.controller.advance(0.012 * (n + 1))
    last = source.acquire()
    assert max(RoutingPlan.from_bytes(last.block).activation_price[0]) > 0
    live.controller.close()
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        assert step() == last  # tokens flow on
        now = 0.5
        assert step() == last
        now = 1.5  # ten ticks are over
        held = step()
        assert step() == held
    assert held.version == last.version + 1 and bytes(held.block) == BASELINE and held.step_period_s == 0
    first, second = warned(caplog)
    assert "the controller fails; its last plan stays until its time is over" in first and "closed" in first
    assert "a step could not be told to the controller" in second


def test_a_controller_that_comes_back_is_followed_again(settings):
    played = Played()
    source = ControlSource(LiveController(played, settings, BASELINE))
    played.error = thermoe.ThermoeError("out of memory")
    assert bytes(source.acquire().block) == b"plan"
    played.error = None
    played.change(version=6, plan=memoryview(b"next"))
    assert bytes(source.acquire().block) == b"next"


def test_a_late_controllers_safe_plan_runs_and_is_said_once_a_minute(settings, caplog):
    now = 0.0
    played = Played()
    source = ControlSource(LiveController(played, settings, BASELINE, clock=lambda: now))
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        for version in range(5, 15):
            played.change(version=version, safe=version % 2 == 1, plan=memoryview(b"safe" if version % 2 == 1 else b"plan"))
            assert bytes(source.acquire().block) == (b"safe" if version % 2 == 1 else b"plan")
        assert len(warned(caplog)) == 1 and "the safe plan runs until one does" in warned(caplog)[0]
        now = 61.0
        played.change(version=15, safe=True)
        source.acquire()
    assert len(warned(caplog)) == 2


def test_a_stalled_controller_gives_its_safe_plan_by_itself(settings, caplog):
    """One tick's validity: each next decision is a little late."""
    config = {**settings.config, "control": {"valid_ticks": 1}}
    source = ControlSource(open_controller(FACTS, (), dataclasses.replace(settings, config=config), SHAPE))
    step = stepper(source)
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        until(lambda: warned(caplog), step)
    assert "the safe plan runs" in warned(caplog)[0]
    source.close()


def test_versions_are_the_sources_own_and_each_controller_is_told_its_own(settings):
    first, second = Played(version=4), Played(version=4, calibrating=True, plan=memoryview(b"base"), sample_wanted=True)
    source = ControlSource(LiveController(first, settings, BASELINE))
    before = source.acquire()
    other = dataclasses.replace(settings, power_w=300.0)
    source.offer(LiveController(second, other, BASELINE))
    held = source.acquire()
    assert (held.version, bytes(held.block), held.sample_wanted, held.settings) == (before.version, b"plan", True, settings)
    source.observe(held.version, tokens=1)
    assert first.told == [{"version": 4, "tokens": 1}] and second.told == [{"version": 4, "tokens": 1}]
    second.change(version=6, calibrating=False, plan=memoryview(b"new"))
    after = source.acquire()
    assert (after.version, bytes(after.block), after.settings) == (before.version + 1, b"new", other)
    source.observe(held.version, tokens=2)  # a step that was under way under the old controller's plan
    assert len(first.told) == 1 and second.told[1] == {"version": 6, "tokens": 2}
    source.observe(after.version, tokens=3)
    assert second.told[2] == {"version": 6, "tokens": 3}
    assert not first.closed
    source.close_retired()
    assert first.closed and not second.closed
    source.close()
    assert second.closed


@pytest.fixture
def kept_up(settings):
    """A source and what reads the settings that the test wrote."""
    parts = []

    def make(settings=settings, gpus=(), facts=FACTS, **options):
        source = ControlSource(open_controller(facts, gpus, settings, SHAPE))

        def read(path):
            given = json.loads(pathlib.Path(path).read_text())
            unknown = set(given) - {"power_w", "denominator"}
            if unknown:
                raise ValueError(f"{path}: unknown key {unknown}")
            return dataclasses.replace(settings, **given)

        upkeep = Upkeep(source, settings, read_settings=read, look_s=0.05,
                        open_controller=lambda changed: open_controller(facts, gpus, changed, SHAPE), **options)
        parts.extend((upkeep, source))
        return source

    yield make
    for part in parts:
        part.close()


def write(settings, **keys):
    file = pathlib.Path(settings.path)
    file.with_suffix(".new").write_text(json.dumps(keys))
    file.with_suffix(".new").rename(file)


def test_changed_settings_hold_once_their_controller_has_seen_the_router(kept_up, settings, caplog):
    with caplog.at_level(logging.INFO, "vllm.thermoe"):
        source = kept_up()
        step = stepper(source)
        until(lambda: max(RoutingPlan.from_bytes(step().block).activation_price[0]) > 0)
        write(settings, power_w=2000)
        until(lambda: "the changed settings were read" in caplog.text, step)
        held = until(lambda: step().settings.power_w == 2000 and step())
        until(lambda: max(RoutingPlan.from_bytes(step().block).activation_price[0]) == 0)
    assert caplog.text.count("the changed settings hold from now on") == 1 and warned(caplog) == []
    assert held.version > 1 and len(source.lives()) == 1


def test_a_pipe_that_is_named_as_a_claim_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "thermoe-GPU-a-x.claim")
    claims = GpuClaims(["GPU-a"], str(tmp_path))
    looking = threading.Thread(target=claims.tell, daemon=True)
    looking.start()
    looking.join(10)
    assert not looking.is_alive()
    claims.close()


def test_a_change_made_while_the_first_controller_was_opened_is_not_missed(kept_up, settings, caplog):
    write(settings, power_w=2000)
    with caplog.at_level(logging.INFO, "vllm.thermoe"):
        kept_up()  # under what the file said before
        until(lambda: "the changed settings were read" in caplog.text)
    assert caplog.text.count("the changed settings were read") == 1


@pytest.mark.parametrize("keys, problem", [
    ({"powr_w": 1}, "unknown key"), ({"power_w": -5}, "targets/power_w"), ({"denominator": "picked"}, "denominator cannot change")],
    ids=["key", "value", "built in"])
def test_settings_that_cannot_be_used_are_refused_whole(kept_up, settings, caplog, keys, problem):
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        source = kept_up()
        time.sleep(0.1)  # it has looked
        write(settings, **keys)
        until(lambda: any("refused, those before stay in force" in text and problem in text for text in warned(caplog)))
        time.sleep(0.2)
    assert sum("refused" in text for text in warned(caplog)) == 1
    assert source.acquire().settings is settings and len(source.lives()) == 1


def test_a_port_of_metrics_that_the_controller_in_force_has_is_not_said_to_be_another_programs(kept_up, settings, caplog):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    given = dataclasses.replace(settings, config={**settings.config, "metrics": {"port": port}})
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        kept_up(given)
        time.sleep(0.1)  # it has looked
        write(settings, power_w=200)
        until(lambda: any(f"config.metrics.port is {port}, where the controller in force listens" in text for text in warned(caplog)))


@pytest.mark.parametrize("changes, message", [
    ({"power_w": -5.0}, "/targets/power_w: is -5"), ({"config": {"telemetry": {"source": "simulated"}}}, "/telemetry/plant"),
    ({"config": {"telemetry": {"source": "caller"}, "control": {"kmin": 1}}}, "/control/kmin: is not a known field"),
    ({"power_w": None, "plan": PlanSettings(price=0.1, k_min=9)}, "plan.k_min is 9; expected at most the 8 experts")],
    ids=["target", "telemetry", "nested key", "plan"])
def test_what_a_controller_refuses_is_told_with_the_settings_file(settings, changes, message):
    given = dataclasses.replace(settings, **changes)
    with pytest.raises(ValueError, match=message) as error:
        open_controller(FACTS, (), given, SHAPE)
    assert str(error.value).startswith(f"{settings.path}: ")


def test_a_settings_file_that_goes_is_said_and_its_settings_stay(kept_up, settings, caplog):
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        source = kept_up()
        pathlib.Path(settings.path).unlink()
        until(lambda: any("is gone; its settings stay in force" in text for text in warned(caplog)))
    assert source.acquire().settings is settings


def test_a_gpu_whose_sensors_fall_silent_brings_the_safe_plan_and_a_word(kept_up, settings, fake_nvml, caplog):
    library = fake_nvml("gpu.power_average = 300~310\ngpu.power_instant = 300~312\ngpu.power_usage = 300~311\n")
    config = {"telemetry": {"library": library}}
    with caplog.at_level(logging.INFO, "vllm.thermoe"):
        source = kept_up(dataclasses.replace(settings, power_w=200.0, config=config), gpus=("GPU-fake-0",))
        step = stepper(source)
        until(lambda: any(record.message.startswith("in control") for record in caplog.records), step)
        fake_nvml("gpu.state = lost\n")
        until(lambda: any("the calibrated static plan" in text for text in warned(caplog)), step)
    controller = source.lives()[0].controller
    assert controller.state().plan_kind == "static"
    assert max(map(max, RoutingPlan.from_bytes(source.acquire().block).activation_price)) > 0


def test_the_hottest_of_several_gpus_governs_and_a_silent_one_silences_all(fake_nvml, caplog):
    script = "gpus = 2\ngpu0.power_instant = 310\ngpu1.power_instant = 480\ngpu0.temperature = 70\ngpu1.temperature = 55\n"
    hottest = HottestGpu(("GPU-fake-0", "GPU-fake-1"), fake_nvml(script))
    reading = until(hottest.read)
    assert (reading["power_w"], reading["temperature_c"]) == (480.0, 70.0)
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        fake_nvml(script + "gpu1.state = lost\n")
        until(lambda: hottest.read() is None)
        hottest.read()
    assert len(warned(caplog)) == 1 and warned(caplog)[0].startswith("GPU-fake-1: no sensor answers")
    hottest.close()


def test_a_sensor_that_one_gpu_lacks_is_absent():
    from thermoe.engine.hottest_gpu import highest
    one = SimpleNamespace(power_instant_w=300.0, power_w=290.0, temp_gpu_c=60.0, temp_mem_c=None)
    other = SimpleNamespace(power_instant_w=200.0, power_w=390.0, temp_gpu_c=61.0, temp_mem_c=80.0)
    assert highest([one, other]) == {"power_w": 300.0, "power_average_w": 390.0, "temperature_c": 61.0,
                                     "memory_temperature_c": None}


def test_the_controller_of_several_gpus_sees_the_hottest(kept_up, settings, fake_nvml):
    library = fake_nvml("gpus = 2\ngpu0.power_instant = 310\ngpu1.power_instant = 480\n")
    gpus = ("GPU-fake-0", "GPU-fake-1")
    asked = dataclasses.replace(settings, config={"telemetry": {"library": library}})
    source = kept_up(asked, gpus=gpus, hottest=HottestGpu(gpus, library))
    step = stepper(source)
    until(lambda: source.lives()[0].controller.state().power_w == 480.0, step)


def test_two_engines_on_a_gpu_each_say_so_and_a_dead_one_leaves_nothing(tmp_path, caplog):
    first = GpuClaims(("GPU-1", "GPU-2"), folder=str(tmp_path))
    with caplog.at_level(logging.ERROR, "vllm.thermoe"):
        first.tell()
    assert warned(caplog) == []
    code = ("import sys, time, logging; from thermoe.engine.gpu_claim import GpuClaims; logging.basicConfig(stream=sys.stdout, "
            f"format='%(message)s'); claims = GpuClaims(('GPU-2',), folder={str(tmp_path)!r}); claims.tell(); "
            "print('ready', flush=True); time.sleep(600)")
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        theirs = other.stdout.readline()
        assert other.stdout.readline() == "ready\n"
        with caplog.at_level(logging.ERROR, "vllm.thermoe"):
            first.tell()
            first.tell()
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert f"GPU-2: another engine (process {os.getpid()}) holds a target on this GPU" in theirs
    assert len(warned(caplog)) == 1 and f"GPU-2: another engine (process {other.pid})" in warned(caplog)[0]
    assert len(list(tmp_path.glob("*.claim"))) == 3
    second = GpuClaims(("GPU-2",), folder=str(tmp_path))
    second.tell()
    assert len(list(tmp_path.glob("*.claim"))) == 3  # the killed one's is gone, ours has come
    first.close()
    second.close()
    assert list(tmp_path.glob("*.claim")) == []


def test_a_folder_without_room_for_claims_is_said_and_no_more(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "vllm.thermoe"):
        claims = GpuClaims(("GPU-1",), folder=str(tmp_path / "nowhere"))
    assert len(warned(caplog)) == 1 and "another engine on it goes unnoticed" in warned(caplog)[0]
    claims.tell()
    claims.close()


def test_ranks_that_differ_are_refused_and_their_gpus_are_told_apart():
    on = [dataclasses.replace(FACTS, gpu=f"GPU-{n}") for n in (0, 1)]
    assert agreed(on) == (on[0], ("GPU-0", "GPU-1"))
    with pytest.raises(RuntimeError, match="rank 1 of 2 has no priced routers"):
        agreed([on[0], None])
    with pytest.raises(RuntimeError, match="ranks 0 and 1 have loaded different models: layers, router differ"):
        agreed([on[0], dataclasses.replace(on[1], layers=3, router=dataclasses.replace(FACTS.router, k=4))])


def test_sensors_are_of_the_ranks_gpu_unless_told(settings):
    plain = dataclasses.replace(settings, config={})
    assert sensors(plain, ("GPU-7",)) == {"source": "nvml", "gpu": "GPU-7"}
    assert sensors(plain, ("GPU-7", "GPU-8")) == {"source": "caller"}
    assert sensors(dataclasses.replace(settings, config={"telemetry": {"gpu": "3"}}), ("GPU-7",)) == {"gpu": "3"}
    assert sensors(settings, ())["source"] == "simulated"
    with pytest.raises(ValueError, match="have no GPU whose sensors could be read"):
        sensors(plain, ())


def test_an_engine_is_told_to_the_controller_as_it_is(settings):
    facts = dataclasses.replace(FACTS, selection_bias=((0.5,) * 128,) * 4)
    asked = dataclasses.replace(settings, costed_as=None, time_per_token_ms=20.0,
                                config={"metrics": {"port": 0}, "telemetry": {"source": "simulated", "plant": "plant.json"}})
    made = configuration(facts, (), asked, EngineShape(batch_limit=8, graph_sizes=(1, 2, 4, 8), model_name="a-model"))
    assert made["engine"] == {"batch_limit": 8, "graph_sizes": [1, 2, 4, 8]}
    assert made["costed_as"] == {"name": "Qwen3MoeForCausalLM", "layers": 4, "gated": True, "shape": [128, 8, 2048, 768]}
    assert made["targets"] == {"power_w": 250.0, "time_between_tokens_ms": 20.0}
    assert made["model"]["denominator"] == "reference" and made["model"]["selection_bias"] == [[0.5] * 128] * 4
    assert made["metrics"] == {"model_name": "a-model", "port": 0}
    assert made["telemetry"]["plant"] == str(pathlib.Path(settings.path).parent / "plant.json")


def test_a_plan_that_stays_needs_no_controller(settings):
    asked = dataclasses.replace(settings, power_w=None, plan=SimpleNamespace(price=0.05, k_min=2))
    source = ControlSource(open_controller(FACTS, (), asked, SHAPE))
    held = source.acquire()
    plan = RoutingPlan.from_bytes(held.block)
    assert plan.activation_price[3][0] == np.float32(0.05) and plan.rows[0].k_min == 2
    source.observe(held.version, tokens=1)
    assert source.acquire() == held
    source.close()
