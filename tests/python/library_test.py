# SPDX-License-Identifier: Apache-2.0
"""The ops' library: what it asks of torch and of its callers' tensors."""
import os
import pathlib
import subprocess
import sys

import pytest
import torch

import thermoe
from thermoe import _libraries


def symbols(library, *options):
    listed = subprocess.run(["nm", "-D", *options, library], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in listed.splitlines()}


def test_it_asks_torch_for_functions_of_its_c_abi_alone():
    """Names of C++, at::Tensor's for one, change from one torch to the next."""
    library = _libraries.library_path("thermoe_torch")
    asked = symbols(library, "--undefined-only") & symbols(str(pathlib.Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"),
                                                           "--defined-only")
    assert len(asked) > 20
    assert all(name.startswith(("aoti_torch_", "torch_")) for name in asked), sorted(asked)


def test_it_shows_other_libraries_no_symbol_but_one():
    ours = {name for name in symbols(_libraries.library_path("thermoe_torch"), "--defined-only") if "thermoe" in name}
    assert ours == {"thermoe_built_with_cuda"}, sorted(ours)[:5]


def test_an_unbuilt_package_says_how_to_build_it(tmp_path):
    package = tmp_path / "thermoe"
    package.mkdir()
    for module in pathlib.Path(thermoe.__file__).resolve().parent.glob("*.py"):
        (package / module.name).write_text(module.read_text())
    done = subprocess.run([sys.executable, "-c", "import thermoe; thermoe.ops"], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}"})
    assert "libthermoe_torch.so does not exist: this package was not built; `pip install ./python` builds it" in done.stderr


def test_a_missing_torch_is_asked_for():
    done = subprocess.run([sys.executable, "-c", "import sys; sys.modules['torch'] = None; import thermoe; thermoe.ops"],
                          capture_output=True, text=True, timeout=120)
    assert "ModuleNotFoundError: thermoe.ops needs torch 2.10 or later: pip install torch" in done.stderr


def test_a_torch_that_is_too_old_is_refused_by_its_version():
    done = subprocess.run([sys.executable, "-c", "import torch; torch.__version__ = '2.9.1+cpu'; import thermoe.ops"],
                          capture_output=True, text=True, timeout=120)
    assert "ImportError: thermoe.ops needs torch 2.10 or later; this is 2.9.1+cpu" in done.stderr


@pytest.mark.skipif(not hasattr(torch.Tensor, "_use_count"), reason="this torch does not tell a tensor's references")
@pytest.mark.parametrize("score", ("sigmoid", "no score"))
def test_a_call_keeps_no_reference_whether_it_succeeds_or_not(score):
    ops = thermoe.ops
    tensors = [torch.randn(4, 8), torch.rand(8), ops.DevicePlan(1, 8, 2).block, ops.StepState().tensor]
    before = [tensor._use_count() for tensor in tensors]
    for _ in range(3):
        try:
            torch.ops.thermoe.topk_route(tensors[0], 2, score=score, beta=tensors[1], plan=tensors[2], layers=1, step=tensors[3])
        except ValueError:
            assert score == "no score"
    assert [tensor._use_count() for tensor in tensors] == before
