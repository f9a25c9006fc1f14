# SPDX-License-Identifier: Apache-2.0
"""The entry point, as SGLang calls it: in processes of its own, by SGLang's loader, from the package's metadata."""
import json
import sys

import pytest

LOAD = "from sglang.srt.plugins import load_plugins; load_plugins(); "
STATE = ("from sglang.srt.managers.scheduler import Scheduler; from sglang.srt.model_executor.model_runner import ModelRunner; "
         "print([hasattr(f, '__wrapped__') for f in (Scheduler.run_event_loop, ModelRunner.initialize, ModelRunner.forward)])")


@pytest.fixture
def run(entry_process):
    return entry_process("sglang.srt.plugins")


@pytest.fixture
def real(engine_folders):
    return engine_folders("THERMOE_SGLANG")


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"power_w": 300}))
    return str(path)


def fake_sglang(tmp_path, version):
    """A package of that name and version and nothing else."""
    folder = tmp_path / "fake" / "sglang"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"__version__ = {version!r}\n")
    return [folder.parent]


@pytest.mark.parametrize("version", ["0.5.22", "0.5.23.post1", "0.6.0"])
def test_an_unknown_version_ends_the_process_where_something_is_asked_of_it(run, tmp_path, version, settings):
    program = """
        import thermoe._sglang_entry as entry
        try:
            entry.register()
        except Exception:  # as SGLang's loader, which goes on
            pass
        print("serving")
        """
    done = run(program, fake_sglang(tmp_path, version), THERMOE_CONFIG=settings)
    assert done.returncode == 2 and "serving" not in done.stdout
    assert (f"thermoe: SGLang {version} is not known to thermoe: known are 0.5.23. Install one of these, or unset "
            "THERMOE_CONFIG") in done.stderr


def test_settings_that_cannot_be_used_end_the_process(run, tmp_path):
    (tmp_path / "bad.json").write_text('{"power": 300}')
    done = run("import thermoe._sglang_entry as entry; entry.register()", fake_sglang(tmp_path, "0.5.23"),
               THERMOE_CONFIG=str(tmp_path / "bad.json"))
    assert done.returncode == 2 and "bad.json: unknown key 'power', did you mean 'power_w'?" in done.stderr


def test_an_sglang_that_nothing_is_asked_of_is_left_alone(run, tmp_path):
    done = run("import sys, thermoe._sglang_entry as entry; entry.register(); print('torch' in sys.modules)",
               fake_sglang(tmp_path, "9.9"))
    assert (done.stdout, done.returncode) == ("False\n", 0)


def test_the_real_sglang_loads_it_by_its_entry_point_and_a_second_time_does_nothing(run, real, settings):
    program = LOAD + "import thermoe.sglang.install as i; i.install(); load_plugins(); i._require_hooks(); " + STATE + (
        "; from sglang.srt.plugins.hook_registry import HookRegistry as R; print({len(hooks) for hooks in R._hooks.values()})")
    done = run(program, real, THERMOE_CONFIG=settings)
    assert done.stdout == "[True, True, True]\n{1}\n", done.stderr
    assert "SGLang 0.5.23: its signatures and routers were checked, but the plug-in was not run on a GPU" in done.stderr


def test_the_real_sglang_is_its_own_where_nothing_is_asked(run, real):
    done = run(LOAD + STATE, real)
    assert done.stdout == "[False, False, False]\n", done.stderr


def test_a_known_version_that_is_not_what_it_was_ends_the_process_with_the_name(run, real, settings):
    program = """
from sglang.srt.managers.scheduler import Scheduler
Scheduler.on_idle = lambda self, more: None
""" + LOAD
    done = run(program, real, THERMOE_CONFIG=settings)
    assert done.returncode == 2
    assert ("this SGLang is not as its version says: sglang.srt.managers.scheduler:Scheduler.on_idle takes (self, more), expected "
            "(self)") in done.stderr


def test_a_hook_that_sglang_could_not_apply_is_no_silence(run, real, settings):
    program = LOAD + """
from sglang.srt.plugins.hook_registry import HookRegistry
from sglang.srt.managers.scheduler import Scheduler
HookRegistry._patched.discard("sglang.srt.model_executor.model_runner.ModelRunner.forward")
Scheduler(None, None)
"""
    done = run(program, real, THERMOE_CONFIG=settings)
    assert done.returncode == 1
    assert "SGLang has not applied the hooks on sglang.srt.model_executor.model_runner.ModelRunner.forward" in done.stderr
