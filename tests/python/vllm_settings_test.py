# SPDX-License-Identifier: Apache-2.0
"""The settings file of the vLLM plug-in: what it may say, and how it is told what is wrong."""
import json
import os
import subprocess
import sys

import pytest

from thermoe.vllm.settings import PlanSettings, SettingsError, read_settings, settings_path


def write(folder, keys, name="thermoe.json"):
    path = folder / name
    path.write_text(keys if isinstance(keys, str) else json.dumps(keys))
    return path


def test_absent_keys_are_none_and_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "costs.json").write_text("{}")
    settings = read_settings(write(tmp_path, {"power_w": 350, "cost_model": "costs.json", "config": {"metrics": {"port": 0}}}))
    assert settings.power_w == 350.0 and settings.temperature_c is None and settings.objective is None
    assert settings.cost_model == str((tmp_path / "costs.json").resolve())
    assert settings.prefill_token_limit == 0 and settings.denominator == "reference" and settings.plan is None
    assert settings.config == {"metrics": {"port": 0}} and settings.path == str(tmp_path / "thermoe.json")


def test_yaml_says_the_same(tmp_path):
    pytest.importorskip("yaml")
    text = "power_w: 350\nobjective: throughput\ncosted_as: Qwen3-30B-A3B\n"
    settings = read_settings(write(tmp_path, text, "thermoe.yaml"))
    assert (settings.power_w, settings.objective, settings.costed_as) == (350.0, "throughput", "Qwen3-30B-A3B")


def test_a_plan_that_stays(tmp_path):
    assert read_settings(write(tmp_path, {"plan": {"price": 0.3, "k_min": 2}})).plan == PlanSettings(price=0.3, k_min=2)
    assert read_settings(write(tmp_path, {"plan": {"price": 0}})).plan == PlanSettings(price=0.0, k_min=1)


@pytest.mark.parametrize("keys, message", [
    ({"power": 300}, "unknown key 'power', did you mean 'power_w'"),
    ({"xyz": 300}, "unknown key 'xyz' Known are power_w, temperature_c"),
    ({"power_w": "300"}, "power_w is '300'; expected a positive number"),
    ({"power_w": True}, "power_w is True; expected a positive number"),
    ({"power_w": -1}, "power_w is -1; expected a positive number"),
    ({"time_per_token_ms": float("nan")}, "time_per_token_ms is nan; expected a positive number"),
    ({"temperature_c": 0}, "temperature_c is 0; expected"),
    ({"power_w": 300, "objective": "speed"}, "objective is 'speed'; expected 'energy' or 'throughput'"),
    ({"power_w": 300, "prefill_token_limit": -1}, "prefill_token_limit is -1; expected a whole number of 0 or more"),
    ({"power_w": 300, "prefill_token_limit": 1.5}, "prefill_token_limit is 1.5; expected a whole number"),
    ({"power_w": 300, "denominator": "none"}, "denominator is 'none'; expected 'picked' or 'reference'"),
    ({"power_w": 300, "cost_model": "costs.json"}, "cost_model is 'costs.json'; expected a file that exists, relative to /"),
    ({"power_w": 300, "costed_as": 4}, "costed_as is 4; expected a model's name"),
    ({"power_w": 300, "config": []}, r"config is \[\]; expected an object"),
    ({"plan": {"price": -1}}, "plan.price is -1; expected a number of 0 or more"),
    ({"plan": {"price": 1e39}}, r"plan.price is 1e\+39; expected a number of 0 or more, of 3.4e\+38 at most"),
    ({"plan": {"price": 10**400}}, "plan.price is 10*; expected a number of 0 or more"),
    ({"power_w": 10**400}, "power_w is 10*; expected a positive number"),
    ({"power_w": 300, "cost_model": "x" * 5000}, "cost_model is 'x*'; expected a file that exists"),
    ({"power_w": 300, "config": {"telemetry": 5}}, "config.telemetry is 5; expected an object of keys"),
    ({"power_w": 300, "config": {"metrics": None}}, "config.metrics is None; expected an object of keys"),
    ({"power_w": 300, "config": {"control": {"price": float("nan")}}}, "config: .*; expected what JSON can say"),
    ('{"power_w": 300, "power_w": 500}', "is no JSON: key 'power_w' is there twice; leave one out"),
    ('{"power_w": 3, "config": {"a": 1, "a": 1}}', "is no JSON: key 'a' is there twice"),
    ("[" * 200000, "is no JSON: .*recursion"),
    ("", "is no JSON"),
    (" " * (16 << 20) + "{}", "cannot be read: it has 16777218 bytes; settings have 16777216 at most"),
    ({"plan": {}}, "plan.price is None; expected a number"),
    ({"plan": {"price": 1, "k_min": 0}}, "plan.k_min is 0; expected a whole number of 1 or more"),
    ({"plan": {"price": 1, "kmin": 1}}, "unknown key 'plan.kmin'"),
    ({"plan": {"price": 1}, "power_w": 300}, "plan and power_w: a plan that stays holds no target"),
    ({"plan": {"price": 1}, "config": {"a": 1}}, "plan and config: a plan that stays"),
    ({}, "nothing is asked for: give one of power_w, temperature_c, time_per_token_ms, or a plan"),
    ({"max_quality_loss": 0.5}, "nothing is asked for"),
    ([1], "expected keys, as .*; it is list"),
    ("{", "is no JSON"),
])
def test_what_is_wrong_is_told_with_file_and_key(tmp_path, keys, message):
    path = write(tmp_path, keys)
    with pytest.raises(SettingsError, match=message) as error:
        read_settings(path)
    assert str(error.value).startswith(str(path))


def test_yaml_that_is_none_is_told(tmp_path):
    pytest.importorskip("yaml")
    with pytest.raises(SettingsError, match="thermoe.yml is no YAML"):
        read_settings(write(tmp_path, "a: [", "thermoe.yml"))


def test_what_yaml_alone_can_say_is_refused(tmp_path):
    pytest.importorskip("yaml")
    for text, message in (("power_w: 300\npower_w: 500\n", "is no YAML: key 'power_w' is there twice"),
                          ("[" * 20000, "is no YAML: .*recursion"),
                          ("power_w: 300\nconfig: {a: 2020-01-01}", "config: .*date.*; expected what JSON can say"),
                          ("config: &a {a: *a}", "config: .*; expected what JSON can say")):
        with pytest.raises(SettingsError, match=message):
            read_settings(write(tmp_path, text, "thermoe.yaml"))
    merged = "power_w: 300\nconfig:\n  control: &a {price: 0}\n  other: {<<: *a, price: 1}\n"
    assert read_settings(write(tmp_path, merged, "thermoe.yaml")).config["other"] == {"price": 1}


@pytest.mark.parametrize("name", ["thermoe.json", "thermoe.yaml"])
def test_a_mark_of_the_byte_order_is_no_matter(tmp_path, name):
    pytest.importorskip("yaml")
    assert read_settings(write(tmp_path, "\ufeff{\"power_w\": 300}", name)).power_w == 300


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path, message in ((tmp_path, "cannot be read: it is no file"), (tmp_path / "pipe.json", "cannot be read: it is no file"),
                          (tmp_path / "none.json", "cannot be read: .*No such file"), ("a\0b", "cannot be read: .*null")):
        with pytest.raises(SettingsError, match=message):
            read_settings(path)


def test_the_engines_path_comes_before_the_environments(monkeypatch):
    monkeypatch.delenv("THERMOE_CONFIG", raising=False)
    assert settings_path({}) is None and settings_path({"other": 1}) is None
    assert settings_path({"thermoe": "a.json"}) == "a.json"
    monkeypatch.setenv("THERMOE_CONFIG", "b.json")
    assert settings_path({}) == "b.json" and settings_path({"thermoe": "a.json"}) == "a.json"
    with pytest.raises(SettingsError, match="additional_config.* is {'power_w': 300}: expected the path of"):
        settings_path({"thermoe": {"power_w": 300}})
    with pytest.raises(SettingsError, match="additional_config.* is '': expected the path of"):
        settings_path({"thermoe": ""})


def test_reading_settings_imports_neither_torch_nor_vllm():
    program = ("import sys, thermoe._vllm_entry, thermoe.vllm, thermoe.vllm.settings; "
               "sys.exit(int(any(name in sys.modules for name in ('torch', 'vllm'))))")
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
