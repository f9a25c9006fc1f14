# SPDX-License-Identifier: Apache-2.0
"""What a transformers model and what was asked for are to the controller."""
from typing import Any

import torch

from .. import controller_configuration as common
from ..routing import Router
from .routers import RouterModule, UnsupportedModelError


def controller_configuration(model: torch.nn.Module, routers: list[RouterModule], spec: Router, *, costed_as: Any,
                             **asked: Any) -> dict[str, Any]:
    """The controller's configuration; `asked` are the keywords of `thermoe.controller_configuration`."""
    biases = [router.beta for router in routers]
    own_shape = None if costed_as else _shape_of(model, routers[0])
    return common.controller_configuration(
        layers=len(routers), experts=routers[0].experts, router=spec, own_shape=own_shape, costed_as=costed_as,
        selection_bias=[bias.float().tolist() for bias in biases if bias is not None] if all(bias is not None for bias in biases) else None,
        **asked)


def _shape_of(model: torch.nn.Module, router: RouterModule) -> dict[str, Any]:
    """The experts beside a router: E experts of gate and up [2 d_ff, d_model] or, transposed, [d_model, 2 d_ff]."""
    d_model = int(router.module.weight.shape[1])
    block = model.get_submodule(router.name.rpartition(".")[0])
    down = getattr(getattr(block, "experts", None), "down_proj", None)
    if not isinstance(down, torch.Tensor) or down.dim() != 3 or d_model not in down.shape[1:]:
        raise UnsupportedModelError(f"{router.name}: the experts beside it have no down_proj [experts, d_model, d_ff], so that "
                                    "their size is not known; give costed_as={\"name\", \"layers\", \"shape\": [experts, k, "
                                    "d_model, d_ff]}")
    d_ff = int(down.shape[1] if down.shape[2] == d_model else down.shape[2])
    layers = sum(1 for _, module in model.named_modules() if type(module) is type(router.module))
    return {"name": type(model).__name__, "layers": layers, "gated": True,
            "shape": [router.experts, router.spec.k, d_model, d_ff]}
