# SPDX-License-Identifier: Apache-2.0
"""What a step costs on the engine whose recorded router is played: gpt-oss-20b's shape in bf16, as a Qwen3-MoE model.

Fitted to four windows of saturated decode, 16 streams, of vLLM 0.25.1 on an H100 80GB HBM3 with a number of experts allowed;
the header (idle, heat) and what a row costs between steps are the file's of the other shape, from the same card.
"""
import statistics

#: (distinct experts a layer, ms a step, J a token of the whole board)
MEASURED = ((28.4, 14.7, 0.472), (21.8, 12.4, 0.397), (15.8, 9.9, 0.308), (10.0, 7.8, 0.230))
STREAMS, LAYERS, SHAPE = 16, 24, [32, 4, 2880, 2880]
NAME = "gpt-oss-20b"


def cost_model(base):
    """The cost model (docs/adr/0005-cost-schema.md) of that shape, with the header of `base`."""
    active = [d for d, _, _ in MEASURED]
    time = statistics.linear_regression(active, [ms for _, ms, _ in MEASURED])
    idle_w = base["idle_active_w"]
    energy = statistics.linear_regression(active, [STREAMS * j - 1e-3 * ms * idle_w for _, ms, j in MEASURED])
    method = "lines in active experts through four windows of saturated decode, 16 streams (tools/vllm_proof/trace_costs.py)"
    rows = base["other"][0]["rows"]
    at_16 = next(row["latency_us"] for row in rows if row["batch"] == STREAMS)
    experts = [{"tokens": STREAMS, "active_experts": d, "latency_us": round(1e3 * time.slope * d / LAYERS, 3),
                "energy_uj": round(1e6 * energy.slope * d / LAYERS, 1)} for d in (4, 8, 12, 16, 20, 24, 28, 32)]
    return {**base, "purpose": f"whole steps of vLLM 0.25.1, {NAME}'s shape in bf16",
            "models": [{"name": NAME, "layers": LAYERS, "shape": SHAPE}],
            "entries": [{"op": "moe_experts", "shape": SHAPE, "dtype": "bf16", "source": "derived", "method": method,
                         "rows": experts}],
            "other": [{"model": NAME, "engine": "vLLM 0.25.1", "source": "derived", "method": method,
                       "rows": [{"batch": row["batch"], "latency_us": round(1e3 * time.intercept + row["latency_us"] - at_16, 1),
                                 "energy_uj": round(1e6 * energy.intercept, 1)} for row in rows]}]}
