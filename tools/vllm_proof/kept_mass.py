# SPDX-License-Identifier: Apache-2.0
"""What tokens kept of their own top-k mass, worked out again from the sampled logits under the plans that ran. For a process
of its own, beside the engine's."""
import math

_LEAST = 1e-3  # a token that keeps less counts as keeping this, as the controller has it


def kept_mass(samples, router):
    """{"samples", "kept_mass", "loss_nats", "price", "k", "k_min"}: means over tokens and layers of all samples, and of the
    plans' cells. None without a sample. samples: watch.Sample's fields as tuples, router: thermoe.routing.Router."""
    import torch
    from thermoe.plan import RoutingPlan
    from thermoe.plan_block import DevicePlan, StepState
    from thermoe.routing import route

    torch.set_num_threads(1)
    kept, lost, plans = [], [], []
    for _, number, tokens, block, values, dtype in samples:
        logits = torch.from_numpy(values)
        logits = (logits.view(torch.int16).view(torch.bfloat16) if dtype == "bfloat16" else logits)[:, :tokens]
        layers, _, experts = logits.shape
        plan, step = DevicePlan(layers, experts, router.k), StepState()
        plan.update(block)
        step.set(step=number, valid=tokens)
        for layer in range(layers):
            mass = route(logits[layer], router, plan=plan, layer=layer, step=step).kept_mass
            kept.append(float(mass.mean()))
            lost.append(float(-mass.clamp(min=_LEAST).log().mean()))
        seen = RoutingPlan.from_bytes(block)
        plans.append((_mean(min(p, 1e6) for row in seen.activation_price for p in row),
                      _mean(row.k + row.extra_k_share for row in seen.rows),
                      _mean(row.k_min + row.extra_k_min_share for row in seen.rows)))
    if not kept:
        return None
    price, k, k_min = (_mean(column) for column in zip(*plans))
    return {"samples": len(samples), "kept_mass": _mean(kept), "loss_nats": _mean(lost), "price": price, "k": k, "k_min": k_min}


def _mean(values):
    values = list(values)
    return math.fsum(values) / len(values)
