# SPDX-License-Identifier: Apache-2.0
"""One build of the ops serves several versions of torch."""
import os
import pathlib
import subprocess
import sys

import pytest
import torch

OTHER_TORCH = os.environ.get("THERMOE_OTHER_TORCH_DIR", "")


@pytest.mark.skipif(not OTHER_TORCH, reason="no other torch: tools/setup --second-torch, or THERMOE_OTHER_TORCH_DIR=.../torch")
@pytest.mark.parametrize("module", ("ops_route_test", "ops_experts_test", "ops_refusals_test", "ops_compile_test"))
def test_the_same_build_passes_with_another_torch(module, source_dir, tmp_path):
    other = pathlib.Path(OTHER_TORCH)
    subprocess.run([sys.executable, source_dir / "tools" / "cuda_stand_ins.py", other, tmp_path], check=True,
                   env={**os.environ, "LD_LIBRARY_PATH": ""})
    packages = os.environ["PYTHONPATH"].split(":")
    environment = {**os.environ, "PYTHONPATH": ":".join([*packages[:-1], str(other.parent)]),
                   "LD_LIBRARY_PATH": str(tmp_path)}
    version = subprocess.run([sys.executable, "-c", "import torch; print(torch.__version__)"], env=environment,
                             capture_output=True, text=True, check=True).stdout.strip()
    assert version != torch.__version__
    # Inductor's C++ is torch's own business, and takes a minute.
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-k", "not inductor", "-c", source_dir / "python" / "pyproject.toml",
                           source_dir / "tests" / "python" / f"{module}.py"], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:]
