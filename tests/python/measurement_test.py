# SPDX-License-Identifier: Apache-2.0
"""thermoe.measure: the joules of a block, and why there are none."""
import time

import pytest

import thermoe


@pytest.fixture
def plant(source_dir):
    return source_dir / "data" / "h100" / "plant.json"


def test_a_blocks_joules_are_its_watts_times_its_seconds(plant):
    with thermoe.measure(unit="token", source="simulated", plant=plant) as m:
        assert "under way" in repr(m)
        for _ in range(4):
            time.sleep(0.4)
            m.count(25)
    assert m.simulated and "simulated" in repr(m) and m.absent_because is None
    assert m.units == 100 and m.seconds >= 1.6
    gpu, = m.gpus
    assert gpu.basis == "counter" and gpu.joules == m.joules
    assert 50 < m.mean_watts < 900
    assert m.joules_per_unit == pytest.approx(m.joules / 100)
    assert m.total_joules == pytest.approx(m.joules)  # nothing else was measured


def test_without_a_count_there_is_nothing_a_unit(plant):
    with thermoe.measure(source="simulated", plant=plant) as m:
        time.sleep(0.3)
    assert m.units is None and m.joules_per_unit is None


def test_without_a_sensor_joules_are_absent_and_the_reason_is_told():
    with thermoe.measure(units=10, source="nvml", nvml_library="/nowhere/libnvidia-ml.so.1") as m:
        pass
    assert m.joules is None and m.mean_watts is None and m.joules_per_unit is None
    assert "/nowhere/libnvidia-ml.so.1" in m.absent_because and "no joules" in repr(m)
    assert m.seconds >= 0 and m.units == 10


def test_a_measurement_under_way_has_no_joules_yet(plant):
    with thermoe.measure(source="simulated", plant=plant) as m:
        with pytest.raises(thermoe.BadInputError, match="under way"):
            m.joules


def test_a_block_that_raises_is_not_measured_and_raises(plant):
    with pytest.raises(KeyError):
        with thermoe.measure(source="simulated", plant=plant) as m:
            raise KeyError("x")
    with pytest.raises(thermoe.BadInputError, match="under way"):
        m.joules


def test_a_count_that_is_none_is_refused(plant):
    with pytest.raises(thermoe.BadInputError, match="units is a number, 0 or more"):
        with thermoe.measure(source="simulated", plant=plant) as m:
            m.count(-1)
