# SPDX-License-Identifier: Apache-2.0
"""The entry point, as vLLM calls it: in processes of its own, by vLLM's loader, from the package's metadata."""
import json
import os
import sys

import pytest


@pytest.fixture
def run(entry_process):
    return entry_process("vllm.general_plugins", VLLM_LOGGING_LEVEL="WARNING", VLLM_LOGGING_STREAM="ext://sys.stderr")


@pytest.fixture
def real(engine_folders):
    return engine_folders("THERMOE_VLLM")


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"power_w": 300}))
    return str(path)


def fake_vllm(tmp_path, version):
    """A package of that name and version and nothing else."""
    folder = tmp_path / "fake" / "vllm"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"__version__ = {version!r}\n")
    (folder / "config.py").write_text("class VllmConfig:\n    def __init__(self, additional_config):\n"
                                      "        self.additional_config = additional_config\n        self.__post_init__()\n"
                                      "    def __post_init__(self):\n        pass\n")
    return [folder.parent]


LOAD = "from vllm.plugins import load_general_plugins; load_general_plugins(); "


@pytest.mark.parametrize("version", ["0.24.0", "0.25.2", "0.34.0", "1.0.0+cu130"])
def test_an_unknown_version_is_refused_where_something_is_asked_of_it(run, tmp_path, version, settings):
    done = run("import thermoe._vllm_entry as entry; entry.register()", fake_vllm(tmp_path, version), THERMOE_CONFIG=settings)
    assert done.returncode == 1
    assert f"vLLM {version} is not known to thermoe: known are 0.25.1, 0.33.0. Install one of these" in done.stderr


def test_an_unknown_version_is_refused_when_additional_config_asks(run, tmp_path):
    program = """
        import thermoe._vllm_entry as entry; entry.register(); entry.register()
        from vllm.config import VllmConfig
        print(hasattr(VllmConfig.__post_init__.thermoe_stock, "thermoe_stock"))
        VllmConfig({"other": 1}); print("unharmed"); VllmConfig({"thermoe": "a.json"})
        """
    done = run(program, fake_vllm(tmp_path, "9.9"))
    assert done.stdout == "False\nunharmed\n" and done.returncode == 1 and "vLLM 9.9 is not known to thermoe" in done.stderr


def test_an_unknown_version_that_nothing_is_asked_of_is_left_alone(run, tmp_path):
    done = run("import thermoe._vllm_entry as entry; entry.register(); print('unharmed')", fake_vllm(tmp_path, "9.9"))
    assert (done.stdout, done.returncode) == ("unharmed\n", 0)


def test_a_known_version_that_is_not_what_it_was_is_refused_with_the_name(run, real, settings):
    program = """
from vllm.v1.worker.gpu_worker import Worker
Worker.execute_model = lambda self, scheduler_output, more: None
""" + LOAD
    done = run(program, real, THERMOE_CONFIG=settings)
    assert done.returncode == 1
    assert ("this vLLM is not as its version says: vllm.v1.worker.gpu_worker:Worker.execute_model takes (self, "
            "scheduler_output, more), expected (self, scheduler_output)") in done.stderr


STATE = """
import sys
from vllm.v1.worker.gpu_worker import Worker
from vllm.model_executor.layers.fused_moe import layer
wrapped = [hasattr(owner, 'thermoe_stock') for owner in (layer.create_fused_moe_router, Worker.load_model,
                                                         Worker.execute_model, Worker.sample_tokens)]
print('wrapped' if all(wrapped) else 'stock' if not any(wrapped) else wrapped)
"""


def test_vllms_loader_installs_the_plug_in_where_the_environment_asks(run, real, settings):
    done = run(LOAD + STATE, real, THERMOE_CONFIG=settings)
    assert (done.stdout, done.returncode) == ("wrapped\n", 0), done.stderr


def test_vllms_loader_leaves_stock_alone_where_nothing_asks(run, real):
    done = run(LOAD + "import sys; print('thermoe.vllm.install' in sys.modules)" + STATE, real)
    assert (done.stdout, done.returncode) == ("False\nstock\n", 0), done.stderr


def test_additional_config_installs_it_and_asks_child_processes_to(run, real, settings):
    program = LOAD + f"""
import os
from vllm.config import DeviceConfig, VllmConfig
VllmConfig(device_config=DeviceConfig(device='cpu'), additional_config={{'thermoe': {settings!r}}})
print(os.environ['THERMOE_VLLM_ASKED'])
""" + STATE
    done = run(program, real)
    assert (done.stdout, done.returncode) == ("1\nwrapped\n", 0), done.stderr
    child = run(LOAD + STATE, real, THERMOE_VLLM_ASKED="1")
    assert (child.stdout, child.returncode) == ("wrapped\n", 0), child.stderr


def test_a_version_that_was_not_run_on_a_gpu_says_so_once(run, real, settings):
    done = run(LOAD + "import thermoe.vllm.install as i; i.install(); import vllm; print(vllm.__version__)", real,
               THERMOE_CONFIG=settings)
    said = done.stderr.count("was not run on a GPU with it")
    assert said == (0 if done.stdout.startswith("0.25.1") else 1), done.stderr
