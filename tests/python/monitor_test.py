# SPDX-License-Identifier: Apache-2.0
"""thermoe.Monitor: what sensors show, and that what they do not show is absent."""
import ctypes
import dataclasses
import json
import time

import pytest

import thermoe
from thermoe.monitor import Sensors


@pytest.fixture
def plant(source_dir):
    return source_dir / "data" / "h100" / "plant.json"


def read_until(monitor, ready):
    for _ in range(1000):
        snapshot = monitor.read()
        if ready(snapshot):
            return snapshot
        time.sleep(0.01)
    raise AssertionError(f"not in 10 s: {snapshot}")


def test_a_simulated_gpu_is_read_and_called_simulated(plant):
    with thermoe.Monitor("simulated", plant=plant) as monitor:
        snapshot = read_until(monitor, lambda s: s.gpus and s.gpus[0].energy_j)
    gpu = snapshot.gpus[0]
    assert snapshot.simulated and snapshot.source == "simulated" and "simulated" in gpu.name
    assert 50 < gpu.power_instant_w < 900
    assert gpu.memory_clock_mhz is None  # the simulation has none: absent, not 0
    assert 0 <= gpu.age_s < 60


def test_a_machine_without_a_sensor_says_so_and_what_would_help():
    with thermoe.Monitor("nvml", nvml_library="/nowhere/libnvidia-ml.so.1") as monitor:
        snapshot = monitor.read()
    assert snapshot.gpus == () and not snapshot.simulated
    assert any("/nowhere/libnvidia-ml.so.1" in problem for problem in snapshot.problems)


def test_all_that_the_library_tells_has_a_field(plant):
    sensors, text = Sensors("simulated", plant=plant), ctypes.c_char_p()
    for _ in range(1000):
        assert sensors._lib.thermoe_sensors_read(sensors.handle, ctypes.byref(text)) == 0
        gpus = json.loads(text.value)["gpus"]
        if gpus:
            break
        time.sleep(0.01)
    sensors.close()
    assert set(gpus[0]) == {field.name for field in dataclasses.fields(thermoe.GpuReading)}


def test_a_recording_is_replayed(tmp_path, source_dir):
    with pytest.raises(thermoe.BadInputError, match="/file: is missing"):
        thermoe.Monitor("replay")
    with pytest.raises(thermoe.BadInputError, match="nowhere.csv"):
        thermoe.Monitor("replay", file=tmp_path / "nowhere.csv")


def test_wrong_choices_are_refused_with_what_is_right(plant):
    with pytest.raises(thermoe.BadInputError, match="/source: is \"nvm\".*nvml"):
        thermoe.Monitor("nvm")
    with pytest.raises(thermoe.BadInputError, match="GPU 7|\"7\"|\\b7\\b"):
        with thermoe.Monitor("simulated", plant=plant, gpus="7") as monitor:
            read_until(monitor, lambda s: False)


def test_a_closed_monitor_says_so(plant):
    monitor = thermoe.Monitor("simulated", plant=plant)
    monitor.close()
    monitor.close()
    with pytest.raises(thermoe.BadInputError, match="closed"):
        monitor.read()
