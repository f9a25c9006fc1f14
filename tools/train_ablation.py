#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ablation of the model card: energy-loss weight x elastic share.

Trains a short model a cell (a GPU is wanted), evaluates each at D -35 % and -50 % and collects one JSON file.
The two halves may run on different machines: --train leaves DIR/<cell>/, --evaluate needs only
DIR/<cell>/model.safetensors.

  tools/train_ablation.py --train --text corpus/train.bin --heldout corpus/heldout.bin --dir runs/ablation
  tools/train_ablation.py --evaluate --dir runs/ablation --out docs/results/ablation.json
"""
import argparse
import json
import pathlib
import subprocess
import sys

ENERGY_WEIGHTS = [0.0, 0.03, 0.15]
ELASTIC_SHARES = [0.0, 0.25]
TRAINING = ["--bf16", "--steps", "1050", "--warmup-steps", "150", "--final-learning-rate", "0",
            "--log-every", "50", "--eval-every", "0", "--save-every", "0"]
EVALUATION = ["--no-domains", "--batches", "2", "--length", "257", "--cut", "35", "--cut", "50"]


def cells():
    return [(elastic, energy) for energy in ENERGY_WEIGHTS for elastic in ELASTIC_SHARES]


def cell_name(elastic, energy):
    return f"el{elastic:g}-en{energy:g}"


def train(args):
    for elastic, energy in cells():
        out = args.dir / cell_name(elastic, energy)
        subprocess.run([args.thermoe, "train", "--text", args.text, "--heldout", args.heldout, "--out", str(out),
                        "--device", args.device, *TRAINING, "--elastic-share", f"{elastic:g}",
                        "--energy-weight", f"{energy:g}"], check=True)


def row(elastic, energy, routing):
    """One line of the result: the baseline and the loss of each policy at each cut."""
    baseline = routing["policies"][0]
    policies = {f"{p['policy']}, D -{p['cut_percent']:g} %": p for p in routing["policies"] if p["cut_percent"]}
    return {"elastic_share": elastic, "energy_weight": energy, "bits_per_byte": baseline["bits_per_byte"],
            "mean_active": baseline["mean_active"],
            "loss_percent": {name: p["loss_percent"] for name, p in policies.items()},
            "expert_load_max_over_mean": routing["expert_load_max_over_mean"]}


def evaluate(args):
    rows = []
    for elastic, energy in cells():
        folder = args.dir / cell_name(elastic, energy)
        result = folder / "eval.json"
        if not result.exists():
            subprocess.run([args.thermoe, "eval", "--model", str(folder / "model.safetensors"), *EVALUATION,
                            "--out", str(result)], check=True)
        rows.append(row(elastic, energy, json.loads(result.read_text())["routing"]))
    document = {"schema": 1, "command": "tools/train_ablation.py", "training": TRAINING, "evaluation": EVALUATION,
                "rows": rows}
    args.out.write_text(json.dumps(document, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="train the cells")
    parser.add_argument("--evaluate", action="store_true", help="evaluate and collect them")
    parser.add_argument("--dir", type=pathlib.Path, required=True, help="folder of the cells")
    parser.add_argument("--text", help="training bytes")
    parser.add_argument("--heldout", help="held-out bytes")
    parser.add_argument("--device", default="cuda", help="cpu or cuda (default %(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/results/ablation.json"))
    parser.add_argument("--thermoe", default="build/cpu-release/src/cli/thermoe", help="the binary (default %(default)s)")
    args = parser.parse_args()
    if not (args.train or args.evaluate):
        parser.error("give --train, --evaluate or both")
    if args.train and not (args.text and args.heldout):
        parser.error("--train needs --text and --heldout")
    try:
        if args.train:
            train(args)
        if args.evaluate:
            evaluate(args)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"train_ablation: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
