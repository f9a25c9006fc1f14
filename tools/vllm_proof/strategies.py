# SPDX-License-Identifier: Apache-2.0
"""What the plug-in is asked for under each strategy: the contents of its settings file (docs/engines.md, "vLLM")."""
STOCK = "stock"  # vLLM without the package
OURS = "ours"
#: name: (what it is, the controller's strategy, whether it has the targets)
PLUGIN = {
    "lambda0": ("plug-in, no price, no pacing", "BASELINE", False),
    OURS: ("ours", "KERNEL_AWARE_TTHA", True),
    "pacing": ("pacing alone", "PACING_ALONE", True),
    "static": ("static: prices calibrated once, no sensor", "STATIC_OPTIMAL", True),
    "reduced_k": ("reduced k", "REDUCED_K", True),
    "keep_fill": ("keep k0, fill from the union", "OPPORTUNISTIC", True),
}
WORDS = {STOCK: "stock vLLM", **{name: words for name, (words, _, _) in PLUGIN.items()}}
STATIC_SAMPLES = 160  # sampled steps that the static plan is calibrated on: 8 s of the load at 20 a second, not its first eight


def settings(strategy, *, power_w, between_tokens_ms, cost_model, costed_as, prefill_token_limit=0, control=None):
    """A settings file's keys. `control`: further keys of the controller's `control`."""
    _, name, targets = PLUGIN[strategy]
    control = {**({"calibration_samples": STATIC_SAMPLES} if strategy == "static" else {}), **(control or {})}
    asked = {"power_w": power_w, "time_per_token_ms": between_tokens_ms} if targets else {}
    return {**asked, "cost_model": str(cost_model), "costed_as": costed_as,
            **({"prefill_token_limit": prefill_token_limit} if prefill_token_limit else {}),
            "config": {"strategy": name, **({"control": control} if control else {})}}
