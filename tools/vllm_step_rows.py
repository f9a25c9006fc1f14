#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the steering measurement of vLLM (a JSON file) into rows for `thermoe cost fit-step`.

    tools/vllm_step_rows.py data/h100/vllm_steering.json > data/h100/vllm_steps.csv

One row for each number of allowed experts whose distinct active experts were counted; joules are
those of the whole board in one step of the batch.
"""

import json
import sys

STREAMS = 16  # in flight all the time


def rows(measured):
    """(batch, active experts, ms, J) of each run, by active experts."""
    runs = [run for run in measured["allowed_experts"].values() if run["seen"]]
    return sorted((STREAMS, run["seen"]["D"], run["ms_step"], 1e-3 * run["mJ_tok"] * STREAMS)
                  for run in runs)


def text(measured):
    """The CSV file."""
    lines = ["# " + measured["what"], "batch,active_experts,step_ms,step_j"]
    lines += [",".join(f"{value:.6g}" for value in row) for row in rows(measured)]
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        print(text(json.load(file)), end="")


if __name__ == "__main__":
    main()
