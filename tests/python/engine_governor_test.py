# SPDX-License-Identifier: Apache-2.0
"""When an engine's next step may start. Needs no vLLM."""
from types import SimpleNamespace

import pytest
import vllm_engine

from thermoe.engine.governor import Governor, Requests, Start
from thermoe.engine.steps import StepReport

PERIOD_S = 0.020
RUNNING = Requests(running=4, waiting=0)


class Held:
    """A source whose decision stays."""

    def acquire(self):
        return SimpleNamespace(version=1, block=b"", step_period_s=PERIOD_S, sample_wanted=False,
                               settings=SimpleNamespace(prefill_token_limit=0))

    def observe(self, *_, **__):
        pass


@pytest.fixture
def governor():
    return Governor(vllm_engine.FACTS, Held(), batch_limit=8, paces=True, clock=lambda: 0.0)


def decode(governor, started, took_s):
    """A decode step that started then, and its report. When the next may start; None: at once."""
    order = governor.begin(tokens=4, mixed=False, started=started, requests=RUNNING)
    report = StepReport(number=order.number, version=order.version, tokens=4, rows=4, mixed=False, step_time_s=took_s,
                        launch_time_s=0.0, counts=None, logits=None)
    governor.end(order, [report], RUNNING, idle=False)
    start = governor.next_start(RUNNING)
    return start and start.at


def test_a_step_starts_a_period_after_the_one_before(governor):
    assert governor.next_start(RUNNING) is None  # there is none before
    assert decode(governor, 1.0, 0.015) == pytest.approx(1.0 + PERIOD_S)


def test_one_slow_step_leaves_the_steps_behind_it_paced(governor):
    started = 1.0
    for took in (0.015, 0.015, 0.030, 0.015, 0.030):
        assert decode(governor, started, took) == pytest.approx(started + PERIOD_S), took
        started += PERIOD_S


def test_steps_that_fill_the_period_by_themselves_are_not_paced(governor):
    starts = [decode(governor, float(n), 0.025) for n in range(1, 4)]
    assert starts == [None, None, None]


def test_steps_that_fill_the_period_with_their_launch_alone_are_paced_beside_each_other_and_stay_so(governor):
    def step(took_s, alone, requests=RUNNING):
        order = governor.begin(tokens=4, mixed=False, started=1.0, requests=RUNNING)
        launch_s = 0.004 if alone else 0.0  # which the device waits for where it has nothing else to do
        report = StepReport(number=order.number, version=order.version, tokens=4, rows=4, mixed=False,
                            step_time_s=took_s + launch_s, launch_time_s=launch_s, counts=None, logits=None)
        governor.end(order, [report], RUNNING, idle=False)
        start = governor.next_start(requests)
        return start and start.alone

    assert [step(0.015, alone=True) for _ in range(6)] == [True] * 6
    assert [step(0.0175, alone=True) for _ in range(6)][-1] is False  # 21.5 ms alone
    assert [step(0.0175, alone=False) for _ in range(12)] == [False] * 12
    assert step(0.0175, alone=False, requests=Requests(running=4, waiting=1)) is True  # none waits for a prompt's launch
    assert [step(0.015, alone=False) for _ in range(6)][-1] is True
    assert [step(0.025, alone=False) for _ in range(6)][-1] is None


def test_an_arrival_waits_for_the_step_under_way_alone_and_where_steps_are_not_paced_for_none(governor):
    arrived = Requests(running=4, waiting=1)
    decode(governor, 1.0, 0.015)
    assert governor.next_start(arrived) == Start(at=1.0, alone=True)  # over already: once that step is done
    for n in range(2, 5):
        decode(governor, float(n), 0.025)
    assert governor.next_start(arrived) is None
