#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the include rules between the folders of src/ (the table in ARCHITECTURE.md).

    tools/check_includes.py [ROOT]

Prints one line for each forbidden #include, `file:line: problem`, and exits 1 if there is any.
"""

import fnmatch
import re
import sys
from pathlib import Path

# folder of src/ -> the folders that its files may include, beside its own.
ALLOWED_FOLDERS = {
    "core": set(),
    "telemetry": {"core"},
    "cost": {"core"},
    "control": {"core", "cost"},
    "kernels": {"core"},
    "moe": {"core", "kernels"},
    "machine": {"core", "telemetry", "cost", "kernels"},
    "profile": {"core", "telemetry", "cost", "kernels", "machine"},
    "measure": {"core", "telemetry", "machine"},
    "report": {"core"},
    "metrics": {"core"},
    "engine": {"core", "telemetry", "cost", "control", "measure", "metrics"},
    "run": {"core", "telemetry", "cost", "control", "kernels", "moe", "machine", "report", "metrics"},
    "monitor": {"core", "telemetry", "machine", "metrics"},
    "doctor": {"core", "telemetry", "machine"},
    "cli": {"core", "telemetry", "cost", "control", "kernels", "moe", "machine", "profile", "report",
            "measure", "metrics", "run", "monitor", "doctor"},
}

# subfolder -> the siblings that its files may include, beside the folder's own top level, which includes no subfolder.
ALLOWED_SUBFOLDERS = {
    "machine": {"simulated": set(), "tenant": set(), "gpu": {"tenant"}, "calibration": {"gpu"}},
    "profile": {"ops": set(), "record": {"ops"}, "under": set()},
}

# Single headers of another folder: doctor says which profilers are there, monitor follows the
# columns that a run writes, and an engine without a GPU may have its steps run on a simulated one.
ALLOWED_HEADERS = {"doctor": {"profile/under/profiler_tool.h"},
                   "engine": {"machine/simulated/plant_config.h", "machine/simulated/simulated_gpu.h",
                              "machine/simulated/simulated_source.h",
                              "machine/simulated/step_charge.h"},
                   "monitor": {"report/metrics_columns.h"}}

# Only these files name LibTorch; everything else builds with THERMOE_TORCH=OFF.
TORCH_FILES = ["moe/*", "cli/*", "control/ttha_*", "control/adapter*.h",
               "control/adapter*.cpp", "control/cosine*"]
TORCH_PREFIXES = ("torch/", "ATen/", "c10/", "caffe2/")

# Torch's ops of the Python package, outside src/: they call kernels, and their build needs no torch but to compare
# its C ABI with what they declare (docs/adr/0021-wheel.md).
PYTHON_OPS, PYTHON_OPS_MAY_INCLUDE, PYTHON_TORCH_FILE = "python/csrc", {"core", "kernels"}, "torch_abi_check.cpp"

SOURCE_SUFFIXES = {".h", ".hpp", ".cuh", ".inc", ".cpp", ".cc", ".cu"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def problem_within(source, header):
    """The same for a header of the source's own folder."""
    (folder, *above), (_, *below) = source.split("/")[:-1], header.split("/")[:-1]
    rules = ALLOWED_SUBFOLDERS.get(folder)
    if rules is None or not below or above == below:
        return None
    if above and above[0] in rules and below[0] in rules[above[0]]:
        return None
    allowed = ", ".join(sorted(rules[above[0]])) if above and above[0] in rules else ""
    return f'includes "{header}"; {"/".join([folder, *above])}/ may include {allowed or "no other subfolder"}'


def problem_with(source, quote, header):
    """What is wrong with `source` (relative to src/) including `header`, or None."""
    folder = source.split("/")[0]
    target = header.split("/")[0]
    if header.startswith(TORCH_PREFIXES):
        if any(fnmatch.fnmatch(source, pattern) for pattern in TORCH_FILES):
            return None
        return f"includes LibTorch's <{header}>; only moe/, cli/ and control's adapter may"
    if target not in ALLOWED_FOLDERS or "/" not in header:
        if quote == '"' and target in ("..", "."):
            return f'includes "{header}"; write the path from src/, as in "core/units.h"'
        if quote == '"' and "/" not in header:
            return f'includes "{header}" without its folder; write "{folder}/{header}"'
        return None
    if target == folder:
        return problem_within(source, header)
    if target in ALLOWED_FOLDERS[folder]:
        return None
    if header in ALLOWED_HEADERS.get(folder, set()):
        return None
    allowed = sorted(ALLOWED_FOLDERS[folder] | ALLOWED_HEADERS.get(folder, set()))
    return f'includes "{header}"; {folder}/ may include {", ".join(allowed) or "no other folder"}'


def problem_of_ops(name, header):
    """The same for a file of python/csrc."""
    if header.startswith(TORCH_PREFIXES):
        return None if name == PYTHON_TORCH_FILE else f"includes torch's <{header}>; only {PYTHON_TORCH_FILE} may"
    folder = header.split("/")[0]
    if folder not in ALLOWED_FOLDERS or folder in PYTHON_OPS_MAY_INCLUDE or "/" not in header:
        return None
    return f'includes "{header}"; {PYTHON_OPS}/ may include {", ".join(sorted(PYTHON_OPS_MAY_INCLUDE))}'


def includes_of(path):
    """Line number, < or " and header of each #include."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = INCLUDE.match(line)
        if match:
            yield number, *match.groups()


def problems_in(root):
    """Every violation under root/src and root/python/csrc, as `file:line: problem` lines in a stable order."""
    found = []
    source_root = Path(root) / "src"
    for path in sorted(p for p in source_root.rglob("*") if p.suffix in SOURCE_SUFFIXES):
        source = path.relative_to(source_root).as_posix()
        if source.split("/")[0] not in ALLOWED_FOLDERS or "/" not in source:
            found.append(f"src/{source}:1: lies in no known folder; add it to tools/check_includes.py")
            continue
        for number, quote, header in includes_of(path):
            problem = problem_with(source, quote, header)
            if problem:
                found.append(f"src/{source}:{number}: {problem}")
    for path in sorted(p for p in (Path(root) / PYTHON_OPS).glob("*") if p.suffix in SOURCE_SUFFIXES):
        for number, _, header in includes_of(path):
            problem = problem_of_ops(path.name, header)
            if problem:
                found.append(f"{PYTHON_OPS}/{path.name}:{number}: {problem}")
    return found


def main(arguments):
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    if not (root / "src").is_dir():
        print(f"{root} has no src/ folder; name the repository's root", file=sys.stderr)
        return 2
    found = problems_in(root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
