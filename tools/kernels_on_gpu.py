#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests, sanitizers and benchmarks of the kernels on this machine's GPU, one after the other.

  tools/kernels_on_gpu.py --programs build/cuda-release --commit $(git rev-parse --short HEAD) --out docs/results

--programs is searched for kernels_gpu_tests and gpu_bench; they may have been built on a machine without a GPU. Writes
OUT/kernels-h100.json and .md (what was timed) and OUT/kernels_gpu_tests.json (what passed); logs and parts go to
OUT/parts. Ends with 1 if anything failed; tests that skip because there is no GPU count as failed. --only picks steps.
Wants compute-sanitizer in PATH (the CUDA toolkit has it) and a python3 with torch for CUDA.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parents[1]
# Sanitizers slow kernels down up to a hundred times, so they run all but the large tests; they take the refusal of an
# allocation for an error and need a stack of their own, and graphs hold the kernels that calls run.
SMALL = ("-*ManyTokens*:*Thousands*:*RandomProblems*:*EveryOutput*:*LargeBatch*:*NeverRise*:*LargerThan*:*WideExperts*:"
         "*AnyNumber*:*GroupLimited*:*EverySize*:*Finite*:*Repeat*:*MoreThanTheDevice*:*Graph*:*Stack*")
STEPS = ("tests", "bench", "torch", "memcheck", "racecheck")
# Rows whose joules are measured, a second and more each.
ENERGY = (r"^grouped_experts|^linear|^fused_dequant_linear/(cuda|triton)/.*group:128$|"
          r"^topk_route/cuda/tokens:(16|64|4096)/experts:128/.*f32.*plan:(none|priced)$")


def steps(programs, commit, small):
    """Name, command and most seconds, in order."""
    tests, bench = find(programs, "kernels_gpu_tests"), find(programs, "gpu_bench")
    energy = ["--energy", "1", "--energy-filter", ENERGY]
    sanitizer = ["compute-sanitizer", "--error-exitcode", "9", "--tool"]
    return [
        ("tests", [tests], 200),
        ("bench", [bench, *energy, "--commit", commit, "--out", "gpu.json"], 240),
        ("torch", [sys.executable, str(HERE / "bench/gpu/torch_rows.py"), *energy, "--out", "torch.json"], 200),
        ("memcheck", [*sanitizer, "memcheck", tests, f"--gtest_filter={small}"], 120),
        ("racecheck", [*sanitizer, "racecheck", tests, f"--gtest_filter={small}"], 120),
    ]


def find(folder, name):
    found = sorted(path for path in folder.rglob(name) if path.is_file())
    if not found:
        raise SystemExit(f"kernels_on_gpu: no {name} under {folder}; build its target with the preset cuda-release")
    return str(found[0].resolve())


def run(name, command, seconds, parts):
    """What became of one step; its output is in parts/NAME.log."""
    start = time.monotonic()
    with open(parts / f"{name}.log", "w+", encoding="utf-8", errors="replace") as log:
        try:
            code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=parts, timeout=seconds,
                                  check=False).returncode
        except subprocess.TimeoutExpired:
            code = None
        except FileNotFoundError as error:
            log.write(f"{error}\n")
            code = 127
        log.seek(0)
        output = log.read()
    why = skipped(output)
    words = [os.path.basename(word) if word.startswith("/") else word for word in command]
    return {"name": name, "command": " ".join(words), "passed": code == 0 and not why, "exit_code": code,
            **({"skipped": why} if why else figures(output)),
            "seconds": round(time.monotonic() - start, 1)}


def skipped(output):
    """Why all tests of a program were skipped, which gtest calls passed; None where they ran."""
    found = re.search(r"needs_cuda_device\.cpp:\d+: Skipped\n(.*)", output)
    return found.group(1) if found else None


def figures(output):
    """What gtest and compute-sanitizer say of themselves."""
    patterns = {"tests": r"\[==========\] (\d+) tests? from .* ran", "passed_tests": r"\[  PASSED  \] (\d+) test",
                "skipped_tests": r"\[  SKIPPED \] (\d+) test", "failed_tests": r"\[  FAILED  \] (\d+) tests?",
                "sanitizer_errors": r"ERROR SUMMARY: (\d+) error",
                "sanitizer_hazards": r"RACECHECK SUMMARY: (\d+) hazard"}
    found = {key: re.search(pattern, output) for key, pattern in patterns.items()}
    return {key: int(match.group(1)) for key, match in found.items() if match}


def device():
    """Name and driver of the GPU; None where nvidia-smi does not say."""
    if shutil.which("nvidia-smi") is None:
        return None, None
    asked = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "-i", "0"],
                           capture_output=True, text=True, check=False)
    name, _, version = asked.stdout.strip().partition(", ")
    return (name, version) if asked.returncode == 0 else (None, None)


def join(parts, out):
    """What was measured so far, as one result."""
    measured = [str(parts / part) for part in ("gpu.json", "torch.json") if (parts / part).exists()]
    if measured:
        subprocess.run([sys.executable, str(HERE / "tools/kernel_results.py"), *measured, "--out",
                        str(out / "kernels-h100")], check=True)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the build")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the results")
    parser.add_argument("--commit", required=True, help="what was built")
    parser.add_argument("--small", default=SMALL, help="gtest filter of what sanitizers run")
    parser.add_argument("--only", nargs="+", choices=STEPS, metavar="STEP", help="of " + ", ".join(STEPS))
    options = parser.parse_args(arguments)
    parts = options.out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    name, version = device()
    result = {"schema": 1, "device": name, "driver": version, "commit": options.commit, "steps": []}
    for step, command, seconds in steps(options.programs, options.commit, options.small):
        if options.only and step not in options.only:
            continue
        result["steps"].append(run(step, command, seconds, parts))
        print(json.dumps(result["steps"][-1]), flush=True)
        if not result["steps"][-1]["passed"]:
            print(f"kernels_on_gpu: {step} failed; {parts / step}.log says how", file=sys.stderr)
        (options.out / "kernels_gpu_tests.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        if step in ("bench", "torch"):
            join(parts, options.out)
    return 0 if all(step["passed"] for step in result["steps"]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
