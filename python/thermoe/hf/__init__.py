# SPDX-License-Identifier: Apache-2.0
"""Models of Hugging Face transformers (5.17 or later) under a target: `thermoe.attach(model, power_w=350)`."""
import os
from collections.abc import Mapping
from typing import Any, Literal, Optional, Union

try:
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("thermoe.hf needs torch 2.10 or later: pip install torch transformers", name="torch") from error

from ..control import Controller
from ..fixed_plan import FixedPlan
from ..plan import RoutingPlan
from ..routing import Denominator
from .attachment import Attachment, PlanSource, RouterHook
from .configuration import controller_configuration
from .routers import RouterModule, UnsupportedModelError, find_routers

__all__ = ["Attachment", "UnsupportedModelError", "attach", "detach"]


def attach(model: torch.nn.Module, *, power_w: Optional[float] = None, temperature_c: Optional[float] = None,
           time_per_token_ms: Optional[float] = None, max_quality_loss: Optional[float] = None,
           batch_limit: int = 64, step_period_ms: Optional[float] = None,
           objective: Optional[Literal["energy", "throughput"]] = None, pace: bool = True,
           cost_model: "Union[str, os.PathLike[str], None]" = None, costed_as: Union[str, Mapping[str, Any], None] = None,
           denominator: Denominator = "reference", plan: Optional[RoutingPlan] = None,
           config: Optional[Mapping[str, Any]] = None) -> Attachment:
    """Has a model's MoE layers route under a controller that holds what is asked for, from its next forward call on.

    Targets: watts of the GPU, its temperature, milliseconds between two tokens of a sequence (`time_per_token_ms`).
    `max_quality_loss`: nats of a token's own top-k mass that may be lost, mean over a minute. `batch_limit`: most
    sequences that are decoded together. The controller finds the shortest period of decode steps itself, unless
    `step_period_ms` says how far apart they start; `objective` "throughput" asks for none, `pace` False does not wait
    for it. `cost_model`: a kernel_cost_model.json of the GPU, the package's H100 where it is left out; `costed_as`: a
    model of that file where it does not have this one's shape. `denominator`: what the weights of the picks are divided
    by where others were dropped, in models that renormalise. `config`: further keys of the controller
    (docs/engines.md). `plan`: this plan instead of a controller.

    Decode steps (one token a row) are priced, prompts are not; a plan that changes nothing leaves the model's own
    numbers, bit for bit. Attach before torch.compile. `Attachment.detach`, `thermoe.detach(model)` or the end of a
    `with` give the model back. Raises UnsupportedModelError for a model without MoE layers or with routers that cannot
    be told how to route, naming the class, ValueError for a model that is attached or compiled already, and
    BadInputError for what the controller refuses.
    """
    if _hooks(model):
        raise ValueError(f"{type(model).__name__} is attached already; thermoe.detach(model) first")
    _refuse_compiled(model)
    routers = find_routers(model)
    specs = [router.spec.weighed_by(denominator) for router in routers]
    if plan is not None:
        others = {"power_w": power_w, "temperature_c": temperature_c, "time_per_token_ms": time_per_token_ms,
                  "max_quality_loss": max_quality_loss, "step_period_ms": step_period_ms, "objective": objective,
                  "config": config}
        source: PlanSource = _fixed(model, routers, plan, [name for name, value in others.items() if value is not None])
    elif power_w is None and temperature_c is None and time_per_token_ms is None and not config:
        raise ValueError("nothing is asked for: give one of power_w, temperature_c, time_per_token_ms, or a plan")
    else:
        source = Controller(controller_configuration(
            model, routers, specs[0], power_w=power_w, temperature_c=temperature_c, time_per_token_ms=time_per_token_ms,
            max_quality_loss=max_quality_loss, batch_limit=batch_limit, step_period_ms=step_period_ms, objective=objective,
            cost_model=cost_model, costed_as=costed_as, config=config or {}))
    return Attachment(model, routers, specs, source, pace=pace)


def detach(model: torch.nn.Module) -> None:
    """Gives a model back as it was before `attach`. Raises ValueError where it is not attached."""
    hooks = _hooks(model)
    if not hooks:
        raise ValueError(f"{type(model).__name__} is not attached")
    hooks[0].attachment.detach()


def _fixed(model: torch.nn.Module, routers: list[RouterModule], plan: RoutingPlan, others: list[str]) -> FixedPlan:
    if others:
        raise ValueError(f"a plan that stays and {', '.join(others)}: only a controller can hold a target")
    first = routers[0]
    if (plan.layers, plan.experts) != (len(routers), first.experts):
        raise ValueError(f"a plan of {plan.layers} layers x {plan.experts} experts for {type(model).__name__}, which has "
                         f"{len(routers)} MoE layers x {first.experts} experts")
    most = max(row.k + (row.extra_k_share > 0) for row in plan.rows)
    if most > first.spec.k:
        raise ValueError(f"a plan of k={most} for {type(model).__name__}, whose experts take "
                         f"{first.spec.k} picks a token")
    return FixedPlan(plan)


def _hooks(model: torch.nn.Module) -> list[RouterHook]:
    return [hook for module in model.modules() for hook in module._forward_hooks.values() if isinstance(hook, RouterHook)]


def _refuse_compiled(model: torch.nn.Module) -> None:
    """A compiled program does not look for hooks again."""
    for name, module in model.named_modules():
        if (hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
                or hasattr(module.__dict__.get("forward"), "_torchdynamo_orig_callable")):
            raise ValueError(f"{name or 'the model'} ({type(module).__name__}) is compiled already, and a compiled program "
                             "does not see hooks that come later: attach first, then torch.compile")
