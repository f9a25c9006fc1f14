# SPDX-License-Identifier: Apache-2.0
"""The wheel that `pip install ./python` makes, of the libraries of this build: what compiles them is the same CMake."""
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

import thermoe


@pytest.fixture(scope="module")
def wheel(source_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    libraries = pathlib.Path(thermoe.__file__).parent
    try:
        import pip  # noqa: F401
    except ImportError:
        pytest.skip("this python3 has no pip")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check",
         "--wheel-dir", folder, f"--config-settings=build-dir={folder / 'build'}", "--config-settings=cmake.define.THERMOE_CUDA=OFF",
         f"--config-settings=cmake.define.THERMOE_PYTHON_LIBRARIES={libraries}", source_dir / "python"],
        capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = folder.glob("*.whl")
    return path


def test_it_serves_every_python_3(wheel):
    assert wheel.name == f"thermoe-{thermoe.__version__}-py3-none-linux_{os.uname().machine}.whl"


def test_it_holds_the_package_its_types_and_its_libraries(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = pathlib.Path(thermoe.__file__).parent
    assert {f"thermoe/{path.relative_to(package)}" for path in package.rglob("*.py")} <= names
    assert {"thermoe/py.typed", "thermoe/libthermoe_torch.so", "thermoe/triton_kernels.py",
            "thermoe/data/kernel_cost_model.json"} <= names
    assert {f"thermoe/{path.name}" for path in package.glob("*.so")} <= names
    assert not [name for name in names if not name.startswith(("thermoe/", "thermoe-"))]


def test_it_asks_for_nothing_but_python(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"thermoe-{thermoe.__version__}.dist-info/METADATA").decode()
    needs = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert needs and all("extra ==" in line for line in needs)


@pytest.mark.parametrize("group, entry", [("vllm.general_plugins", "_vllm_entry"), ("sglang.srt.plugins", "_sglang_entry")])
def test_engines_find_their_plug_ins(wheel, group, entry):
    points = zipfile.ZipFile(wheel).read(f"thermoe-{thermoe.__version__}.dist-info/entry_points.txt").decode()
    assert f"[{group}]\nthermoe = thermoe.{entry}:register\n" in points


def test_its_ops_run_where_it_is_installed(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check",
                    "--root-user-action=ignore", "--target", tmp_path, wheel], check=True, timeout=200)
    packages = os.environ["PYTHONPATH"].split(":")[1:]
    done = subprocess.run(
        [sys.executable, "-c", "import torch, thermoe; o = thermoe.ops; print(o.__file__); "
         "print(o.topk_route(torch.arange(8.0).view(1, 8), o.Router(k=2)).ids.tolist())"],
        capture_output=True, text=True, timeout=200, env={**os.environ, "PYTHONPATH": ":".join([str(tmp_path), *packages])})
    assert done.stdout.split("\n")[:2] == [f"{tmp_path}/thermoe/ops.py", "[[7, 6]]"], done.stderr
