# SPDX-License-Identifier: Apache-2.0
"""The routers of a transformers model: where they are, how they pick and weigh, and the proof that it was read right."""
import dataclasses
import inspect
from typing import Any, Optional

import torch

from ..plan_block import DevicePlan, StepState
from ..routing import Router, route

_SUPPORTED = ("routers of transformers v5 that return (logits, weights, indices): softmax or top-k-then-softmax, as "
              "Mixtral, Qwen2-MoE, Qwen3-MoE, Qwen3-Next, OLMoE, FlexOlmo and gpt-oss have, and sigmoid with a selection "
              "bias and groups, as DeepSeek-V3, GLM-4.5, dots1 and Kimi-Linear have")


class UnsupportedModelError(ValueError):
    """A model that cannot be attached to, naming the class that is in the way."""


@dataclasses.dataclass(frozen=True)
class RouterModule:
    """One MoE layer's router."""
    name: str
    module: Any  # torch.nn.Module, whose attributes have no types
    spec: Router  # as the model weighs without a plan

    @property
    def experts(self) -> int:
        return int(self.module.num_experts)

    @property
    def beta(self) -> Optional[torch.Tensor]:
        """The bias that the model adds to its scores to pick, [experts]; read anew, as loading may replace it."""
        return getattr(self.module, "e_score_correction_bias", None)


def find_routers(model: torch.nn.Module) -> list[RouterModule]:
    """The model's routers in the order of its layers, each tried on random tokens.

    Raises UnsupportedModelError where there is none, one does not do what its attributes say, or two differ in shape.
    """
    routers = [RouterModule(name, module, _read(name, module)) for name, module in model.named_modules()
               if _looks_like_a_router(module)]
    if not routers:
        raise UnsupportedModelError(_no_router(model))
    first = routers[0]
    for router in routers:
        if (router.experts, router.spec.k) != (first.experts, first.spec.k):
            raise UnsupportedModelError(
                f"{router.name} routes to {router.spec.k} of {router.experts} experts, {first.name} to "
                f"{first.spec.k} of {first.experts}: all MoE layers of a model must have one shape")
        _prove(router)
    return routers


def _looks_like_a_router(module: torch.nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return (isinstance(getattr(module, "top_k", None), int) and isinstance(getattr(module, "num_experts", None), int)
            and isinstance(weight, torch.Tensor) and weight.dim() == 2 and weight.shape[0] == module.num_experts)


def _no_router(model: torch.nn.Module) -> str:
    experts = {type(m).__name__ for n, m in model.named_modules() if n.rsplit(".", 1)[-1] in ("experts", "block_sparse_moe")}
    if experts:
        return (f"{type(model).__name__} has experts ({', '.join(sorted(experts))}), but no router that can be told how to "
                f"route. Supported are {_SUPPORTED}")
    return f"{type(model).__name__} has no Mixture-of-Experts layer: there is nothing to route"


def _read(name: str, module: Any) -> Router:
    kind = type(module).__name__
    needed = [p.name for p in inspect.signature(module.forward).parameters.values()
              if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if len(needed) != 1:
        raise UnsupportedModelError(f"{name}: {kind}.forward takes {', '.join(needed)}, where only the hidden states are "
                                    f"understood. Supported are {_SUPPORTED}")
    sigmoid = hasattr(module, "e_score_correction_bias")
    groups = int(getattr(module, "num_group", 1) or 1)
    return Router(k=int(module.top_k), score="sigmoid" if sigmoid else "softmax", groups=groups,
                  groups_kept=int(getattr(module, "topk_group", groups) or groups),
                  denominator="picked" if getattr(module, "norm_topk_prob", True) else "none",
                  scale=float(getattr(module, "routed_scaling_factor", 1.0)))


def _prove(router: RouterModule) -> None:
    """Routes random tokens by the model and by what was read, and compares."""
    module, spec = router.module, router.spec
    weight: torch.Tensor = module.weight
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(32, weight.shape[1], generator=generator).to(weight.device, weight.dtype)
    with torch.no_grad():
        given = module.forward(hidden)  # not through hooks of others
    kind = type(module).__name__
    if not (isinstance(given, tuple) and len(given) == 3 and given[0].shape == (32, router.experts)
            and given[1].shape == given[2].shape == (32, spec.k)):
        raise UnsupportedModelError(f"{router.name}: {kind} returns something else than (logits [tokens, experts], weights "
                                    f"[tokens, k], indices [tokens, k]). Supported are {_SUPPORTED}")
    logits, weights, indices = given
    with torch.no_grad():
        ours = route(logits, spec, plan=DevicePlan(1, router.experts, spec.k, weight.device), layer=0,
                     step=StepState(weight.device), beta=router.beta)
    tolerance = 1e-5 if weights.dtype == torch.float32 and logits.dtype == torch.float32 else 2e-2

    def sorted_weights(values: torch.Tensor) -> torch.Tensor:
        return values.float().sort(dim=1).values

    # Experts at which the two may differ are tied, and have one weight.
    if not torch.allclose(sorted_weights(weights), sorted_weights(ours.weights), rtol=tolerance, atol=1e-6):
        raise UnsupportedModelError(f"{router.name}: {kind} does not route as {spec} would, so that a plan would change more "
                                    f"than it says. Supported are {_SUPPORTED}")
