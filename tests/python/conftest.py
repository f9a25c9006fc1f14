# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture(scope="session")
def source_dir() -> pathlib.Path:
    """The repository's root."""
    return pathlib.Path(os.environ["THERMOE_SOURCE_DIR"])


@pytest.fixture(scope="session")
def thermoe_program() -> str:
    """The command line of the build that is tested."""
    path = pathlib.Path(os.environ["THERMOE_BINARY_DIR"]) / "src" / "cli" / "thermoe"
    if not path.exists():
        pytest.skip(f"{path} does not exist: the target thermoe is not built")
    return str(path)


@pytest.fixture
def settings(tmp_path, source_dir):
    """Writes a plug-in's settings file, whole or not at all, of a controller on a simulated GPU: settings(power_w=250) is its
    path."""
    data = source_dir / "data" / "h100"
    file = tmp_path / "thermoe.json"

    def write(**keys):
        file.with_suffix(".new").write_text(json.dumps({
            "costed_as": "Qwen3-30B-A3B", "cost_model": str(data / "kernel_cost_model.json"), "config": {"telemetry": {
                "source": "simulated", "plant": str(data / "plant.json"),
                "cost_model": str(data / "plant_cost_model.json")}}, **keys}))
        file.with_suffix(".new").rename(file)
        return str(file)
    return write


@pytest.fixture
def entry_process(tmp_path):
    """entry_process(group) is what runs a program in a process that finds the folders first, with thermoe's entry point of that
    group, as pyproject.toml has it, in its metadata."""
    def of(group, **always):
        metadata = tmp_path / "thermoe-0.1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: thermoe\nVersion: 0.1.0\n")
        project = pathlib.Path(os.environ["THERMOE_SOURCE_DIR"]) / "python/pyproject.toml"
        line = re.search(rf'entry-points\."({re.escape(group)})"\]\n(\w+) = "(.*)"', project.read_text())
        (metadata / "entry_points.txt").write_text(f"[{line[1]}]\n{line[2]} = {line[3]}\n")

        def start(program, folders, **environment):
            path = ":".join([*map(str, folders), str(tmp_path), os.environ.get("PYTHONPATH", "")])
            clean = {name: value for name, value in os.environ.items() if not name.startswith("THERMOE_")}
            return subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=300,
                                  env={**clean, "PYTHONPATH": path, "TORCHDYNAMO_DISABLE": "1", **always, **environment})
        return start
    return of


@pytest.fixture
def engine_folders():
    """engine_folders("THERMOE_VLLM"): of a real engine and of what it imports; without any the test skips, with the reason."""
    def of(variable):
        folders = [folder for folder in os.environ.get(variable, "").split(":") if folder]
        if not folders:
            pytest.skip(f"{variable} names no folders of an engine and of what it imports")
        return folders
    return of
