# SPDX-License-Identifier: Apache-2.0
"""Hooks that route a transformers model under a plan, and tell a controller what its steps were."""
import time
from typing import Any, Optional, Protocol

import torch

from .._c_abi import ThermoeError
from ..control import Controller
from ..plan import RoutingPlan
from ..plan_block import DevicePlan, StepState
from ..routing import Router, Routing, count, route
from .routers import RouterModule
from .step import StepPlan, StepRecord, runs_as_plain

_PENDING = 8  # records whose device is still at work; more are passed over


class Decision(Protocol):
    """What holds for a step; control.Decision is one."""

    @property
    def version(self) -> int: ...
    @property
    def plan(self) -> memoryview: ...  # the plan's block
    @property
    def step_period_s(self) -> float: ...
    @property
    def sample_wanted(self) -> bool: ...


class PlanSource(Protocol):
    """Whose plan runs: control.Controller, or a plan that stays."""

    def acquire(self) -> Decision: ...
    def observe(self, *, version: int, running: int, tokens: int, mixed: bool, step_time_s: float, step_period_s: float,
                counts: Optional[torch.Tensor], logits: Optional[torch.Tensor]) -> None: ...
    def close(self) -> None: ...


class Route(Protocol):
    """How tokens are routed: routing.route, or the compiled op."""

    def __call__(self, logits: torch.Tensor, router: Router, *, plan: DevicePlan, layer: int, step: StepState,
                 beta: Optional[torch.Tensor]) -> Routing: ...


class RouterHook:
    """On one router: gives the experts what the plan says instead of what the router said."""

    def __init__(self, attachment: "Attachment", layer: int, router: RouterModule, spec: Router) -> None:
        self.attachment = attachment
        self.layer = layer
        self.router = router
        self.spec = spec

    def __call__(self, module: torch.nn.Module, arguments: Any, output: Any) -> Any:
        attachment = self.attachment
        logits, weights, indices = output
        # A compiled program is made once and runs under every plan, plain ones too.
        if not (attachment.routes or torch.compiler.is_compiling()):
            if attachment.sampling:
                attachment.sampled[self.layer] = (logits, count(indices, torch.ones_like(indices), logits.shape[1]))
            return None  # the model's own, bit for bit
        plan, step = attachment.step_plan.at(logits.device)
        routing = attachment.route(logits, self.spec, plan=plan, layer=self.layer, step=step, beta=self.router.beta)
        if attachment.sampling:
            attachment.sampled[self.layer] = (logits, routing.counts)
        return (logits, routing.weights.to(weights.dtype), routing.ids.to(indices.dtype))


def route_by_op(logits: torch.Tensor, router: Router, *, plan: DevicePlan, layer: int, step: StepState,
                beta: Optional[torch.Tensor]) -> Routing:
    """`route` by the compiled op. Raises ImportError where the package was not built."""
    from .. import ops
    return Routing(*ops.topk_route(logits, router, beta=None if beta is None else beta.float(), plan=plan, layer=layer,
                                   step=step, fill_slots=True))


def best_route(devices: set[str]) -> Route:
    """The compiled op, where the package was built with it for all these types of devices."""
    try:
        from .. import ops
    except ImportError:
        return route
    built = {"cpu", "cuda"} if ops.built_with_cuda else {"cpu"}
    return route_by_op if devices <= built else route


class Attachment:
    """A model whose routers run under a plan. `detach` gives the model back as it was; so does leaving a `with`."""

    def __init__(self, model: torch.nn.Module, routers: list[RouterModule], specs: list[Router], source: PlanSource,
                 *, pace: bool) -> None:
        self.source = source
        self.pace = pace
        self.error: Optional[ThermoeError] = None  # the last of the controller's: steps go on under the plan in force
        self.routes = False  # the plan changes something in this step
        self.route = best_route({router.module.weight.device.type for router in routers})
        self.sampling = False
        self.sampled: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # of this step: layer to gate logits and counts
        self._name = f"{type(model).__name__}, {len(routers)} MoE layers x {routers[0].experts} experts"
        self._device = next(model.parameters()).device
        self._decision = decision = source.acquire()
        self._version = decision.version
        self.step_plan = StepPlan(len(routers), routers[0].experts, specs[0].k, decision.plan)
        self._read_plan(decision.plan)
        self._record: Optional[StepRecord] = None
        self._pending: list[StepRecord] = []
        self._started: Optional[float] = None
        self._handles = [router.module.register_forward_hook(RouterHook(self, layer, router, spec))
                         for layer, (router, spec) in enumerate(zip(routers, specs))]
        self._handles.append(model.register_forward_pre_hook(self._before, with_kwargs=True))
        self._handles.append(model.register_forward_hook(self._after, always_call=True))

    @property
    def attached(self) -> bool:
        return bool(self._handles)

    @property
    def controller(self) -> Optional[Controller]:
        """Whose plans run; None where a plan stays."""
        return self.source if isinstance(self.source, Controller) else None

    @property
    def plan(self) -> RoutingPlan:
        """The plan of the newest step."""
        return RoutingPlan.from_bytes(self.step_plan.block)

    def detach(self) -> None:
        """Takes the hooks out and ends the controller. A second time there is nothing left to do."""
        if not self._handles:
            return
        for handle in self._handles:
            handle.remove()
        self._handles = []
        shape = self.step_plan
        # A program compiled with the hooks in it keeps them: it is to route as the model does.
        shape.set(memoryview(RoutingPlan.baseline(shape.layers, shape.experts, shape.k).to_bytes()))
        self._pending.clear()
        self.source.close()

    def __enter__(self) -> "Attachment":
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def __repr__(self) -> str:
        failed = f", error: {self.error}" if self.error else ""
        return f"Attachment({self._name}, {'under ' + repr(self.source) if self.attached else 'detached'}{failed})"

    @torch.compiler.disable  # asks the controller: no part of a compiled program
    def _before(self, module: torch.nn.Module, arguments: Any, keywords: dict[str, Any]) -> None:
        rows, width = _shape(arguments, keywords)
        mixed = width != 1  # it reads prompts
        self._report()
        decision = self._acquire()
        if self.pace and not mixed and self._started is not None:
            time.sleep(max(0.0, self._started + decision.step_period_s - time.perf_counter()))
        now = time.perf_counter()
        self._record = StepRecord(version=decision.version, sequences=rows, tokens=rows * width, mixed=mixed,
                                  period_s=0.0 if self._started is None else now - self._started)
        self._started = now
        self.routes = not (self._plain_unpriced if mixed else self._plain)
        self.sampling = decision.sample_wanted and not mixed
        self.step_plan.begin(prefill=mixed)
        self._record.start(self._device)

    @torch.compiler.disable
    def _after(self, module: torch.nn.Module, arguments: Any, output: Any) -> None:
        sampled = [self.sampled[layer] for layer in sorted(self.sampled)]
        self.sampled = {}
        # A router that is called outside of the model's forward does what the model says.
        self.routes = self.sampling = False
        if self._record is None:
            return
        if output is None:  # the forward call failed
            self._record = None
            return
        self._record.end(self._device, sampled if len(sampled) == self.step_plan.layers else [])
        if len(self._pending) < _PENDING:
            self._pending.append(self._record)
        self._record = None
        self._report()

    def _report(self) -> None:
        """Tells the controller of steps that the device has done, oldest first; never waits for one."""
        while self._pending and self._pending[0].ready():
            done = self._pending.pop(0)
            try:
                self.source.observe(version=done.version, running=done.sequences, tokens=done.tokens, mixed=done.mixed,
                                    step_time_s=done.seconds(), step_period_s=done.period_s, counts=done.counts,
                                    logits=done.logits)
            except ThermoeError as error:
                self.error = error

    def _acquire(self) -> Decision:
        """What holds for the next step; what held for the last one where the controller fails."""
        try:
            self._decision = self.source.acquire()
        except ThermoeError as error:
            self.error = error
        if self._decision.version != self._version:
            self._version = self._decision.version
            self.step_plan.set(self._decision.plan)
            self._read_plan(self._decision.plan)
        return self._decision

    def _read_plan(self, block: memoryview) -> None:
        shape = self.step_plan
        self._plain, self._plain_unpriced = (runs_as_plain(block, shape.layers, shape.experts, shape.k, priced=priced)
                                             for priced in (True, False))


def _shape(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[int, int]:
    """Rows of a forward call, and tokens of a row."""
    for given in (keywords.get("input_ids"), keywords.get("inputs_embeds"), *arguments):
        if isinstance(given, torch.Tensor) and given.dim() >= 2:
            return int(given.shape[0]), int(given.shape[1])
    return 1, 2  # nothing to tell decoding by: as if it read prompts
