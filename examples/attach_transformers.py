# SPDX-License-Identifier: Apache-2.0
"""Generates with a transformers model whose experts are kept under a power target.

    python3 examples/attach_transformers.py FOLDER POWER_W [--step-period-ms MS] [--simulated DATA]

FOLDER: what `python3 -m thermoe.hf.convert` wrote. --step-period-ms: decode steps start so far apart; without it the
controller finds a period. --simulated DATA (the repository's data/h100) tells the steps to a SIMULATED GPU that is charged
for them as for a Qwen3-30B-A3B, for machines without one; time passes as on the real one.
"""
import argparse
import sys
from typing import Optional

import torch
from transformers import AutoModelForCausalLM

import thermoe

PROMPTS = [b"The licence of this program", b"#include <stdio.h>\n\nint main", b"SYNOPSIS\n       ls [OPTION]",
           b"def read(path):\n    "]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("power_w", metavar="POWER_W", type=float)
    parser.add_argument("--step-period-ms", metavar="MS", type=float)
    parser.add_argument("--simulated", metavar="DATA")
    options = parser.parse_args()
    try:
        run(options)
    except thermoe.UnavailableError as error:
        print(f"error: {error}\nWithout a GPU: --simulated data/h100", file=sys.stderr)
        return 2
    except thermoe.BadInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    device = "cuda" if torch.cuda.is_available() and not options.simulated else "cpu"
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32).to(device)
    # This small model's own shape has no measured costs.
    how = {"costed_as": "Qwen3-30B-A3B", "step_period_ms": options.step_period_ms}
    if options.simulated:
        telemetry = {"source": "simulated", "plant": f"{options.simulated}/plant.json",
                     "cost_model": f"{options.simulated}/plant_cost_model.json"}
        how["config"] = {"telemetry": telemetry}

    length = min(map(len, PROMPTS))
    prompts = torch.tensor([list(prompt[-length:]) for prompt in PROMPTS * 4], device=device)
    with thermoe.measure(unit="token") as m, thermoe.attach(model, power_w=options.power_w, **how) as attachment:
        out = model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=240, do_sample=False)
        m.count(out[:, length:].numel())
        print(attachment)
        state = attachment.controller.state()
    for row in out[:4]:
        print(repr(bytes(row[:80].tolist()).decode(errors="replace")))
    print(f"{'simulated: ' * state.simulated}{told(state.power_average_w, '.0f')} W, price {state.price:.3g}, "
          f"{told(state.active_experts, '.1f')} distinct experts a layer, quality loss {told(state.quality_loss, '.3g')} nats, "
          f"{state.steps} steps")
    print(m)


def told(value: Optional[float], form: str) -> str:
    """A number that may be absent: no step ended in the newest tick, no sensor answered."""
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    sys.exit(main())
