# SPDX-License-Identifier: Apache-2.0
"""The control plane for whoever serves from Python: thermoe.h's controller."""
import ctypes
import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any, Literal, Optional, Union

from . import _c_abi as abi
from .plan import HEADER, RoutingPlan

PlanKind = Literal["strategy", "last_sound", "static", "baseline"]
_PLAN_KINDS: tuple[PlanKind, ...] = ("strategy", "last_sound", "static", "baseline")


@dataclasses.dataclass(frozen=True)
class Decision:
    """What holds for the next step. A value: it stays as it is, whatever the controller does."""
    version: int  # grows with every change; equal: plan, mask and period are as before
    plan: memoryview  # the plan's block, as the ops read it
    active: Optional[memoryview]  # [layers, experts] u8, 1 where a token may go; None unless `applies` is "mask"
    step_period_s: float  # shortest time from one decode step's start to the next one's; 0: the next at once
    valid_for_s: Optional[float]  # then the safe plan takes over; None: for good
    safe: bool  # no decision followed the last one in time: the safe plan stands in
    sample_wanted: bool  # the controller would like this step's gate logits
    calibrating: bool  # plain top-k, as the router has not been seen for long enough

    def routing_plan(self) -> RoutingPlan:
        """The plan to look into."""
        return RoutingPlan.from_bytes(self.plan)


@dataclasses.dataclass(frozen=True)
class ControllerState:
    """What the controller believed at its last tick. None: absent."""
    ticks: int
    steps: int
    tokens: int
    skipped: int  # steps whose loads were passed over
    plan_kind: PlanKind
    saturated: bool  # the targets are out of reach, the plan is at its floor
    simulated: bool  # watts and degrees are a simulated GPU's
    reason: str  # what runs instead of the strategy's plan, and why; "" while in control
    price: float  # lambda
    step_period_s: float
    predicted_kept_mass: float
    predicted_active: float
    predicted_power_w: Optional[float]
    predicted_temperature_c: Optional[float]
    predicted_step_time_s: Optional[float]
    power_w: Optional[float]
    power_average_w: Optional[float]
    temperature_c: Optional[float]
    memory_temperature_c: Optional[float]
    step_time_s: Optional[float]
    measured_step_period_s: Optional[float]
    active_experts: Optional[float]
    quality_loss: Optional[float]


class Controller(abi.Handle):
    """A controller of one model on one GPU, with a thread of its own.

    `config` is what docs/engines.md documents, as a dict, or the path of such a file. Keywords replace its top keys:

        with Controller("engine.json", targets={"power_w": 350}) as controller:
            decision = controller.acquire()  # before a step
            ...
            controller.observe(version=decision.version, tokens=16, step_time_s=0.012)  # after it

    Every method raises ThermoeError, or BadInputError where the caller can help it. `acquire` and `observe` take
    microseconds and never wait for the controller. The same method is for one thread at a time.
    """
    _kind = ""

    def __init__(self, config: Union[Mapping[str, Any], str, "os.PathLike[str]", None] = None, **keys: Any) -> None:
        if isinstance(config, Mapping) or config is None:
            text = json.dumps({**(config or {}), **keys})
        elif keys:
            raise abi.BadInputError(f"a configuration by path ({os.fspath(config)}) and keys ({', '.join(keys)}): load the "
                                    "file as a dict to change some of it")
        else:
            text = os.fspath(config)
        super().__init__(text)
        self._decision = abi.DecisionStruct()
        self._plan = memoryview(b"")
        self._active: Optional[memoryview] = None
        self._version: Optional[int] = None
        self._shape = (0, 0)
        self.acquire()

    @property
    def layers(self) -> int:
        return self._shape[0]

    @property
    def experts(self) -> int:
        return self._shape[1]

    def acquire(self) -> Decision:
        """What holds for the next step."""
        decision = self._decision
        abi.check(self._lib.thermoe_acquire(self.handle, ctypes.byref(decision)))
        if self._version != decision.version:
            self._version = decision.version
            self._plan = memoryview(ctypes.string_at(decision.plan, decision.plan_bytes))
            self._shape = HEADER.unpack_from(self._plan)[3:]
            self._active = None
            if decision.active:
                mask = memoryview(ctypes.string_at(decision.active, decision.active_bytes))
                self._active = mask.cast("B", shape=self._shape)
        flags = decision.flags
        return Decision(version=decision.version, plan=self._plan, active=self._active,
                        step_period_s=decision.step_period_s,
                        valid_for_s=decision.valid_for_s if flags & abi.EXPIRES else None, safe=bool(flags & abi.SAFE),
                        sample_wanted=bool(flags & abi.SAMPLE_WANTED), calibrating=bool(flags & abi.CALIBRATING))

    def observe(self, *, version: int, tokens: int, mixed: bool = False, step_time_s: float = 0.0,
                step_period_s: float = 0.0, rows: int = 0, counts: Any = None, logits: Any = None,
                running: Optional[int] = None, waiting: int = 0, arrived: int = 0, finished: int = 0,
                quality_loss: Optional[float] = None) -> None:
        """Tells of a step that has ended: `version` of the decision it ran under, the tokens it routed.

        `mixed`: it read prompts. `rows` that it ran, padding included. `counts` [layers, experts] int32 and `logits`
        [layers, rows, experts] f32, f16 or bf16, gate logits before the score function, come together: torch
        tensors on the CPU, numpy arrays or any C-contiguous buffers.
        """
        for name, value in (("tokens", tokens), ("rows", rows), ("running", running or 0), ("waiting", waiting),
                            ("arrived", arrived), ("finished", finished)):
            if not -2**31 <= value < 2**31:  # ctypes would cut it
                raise abi.BadInputError(f"{name} is {value}; it is a 32-bit number")
        step = abi.StepStruct(version=version, flags=abi.MIXED if mixed else 0, step_time_s=step_time_s,
                              step_period_s=step_period_s, layers=self.layers, experts=self.experts, tokens=tokens,
                              rows=rows)
        kept = []  # what the struct points into
        if counts is not None:
            array = _Array("counts", counts)
            array.require((self.layers, self.experts), ("int32",))
            step.counts = array.address
            kept.append(array)
        if logits is not None:
            array = _Array("logits", logits)
            array.require((self.layers, None, self.experts), tuple(abi.LOGIT_TYPES))
            step.logits, step.logits_type = array.address, abi.LOGIT_TYPES[array.dtype]
            step.logit_rows = array.shape[1]
            kept.append(array)
        if running is not None:
            step.known |= abi.KNOWS_SERVING
            step.running, step.waiting, step.arrived, step.finished = running, waiting, arrived, finished
        if quality_loss is not None:
            step.known |= abi.KNOWS_LOSS
            step.quality_loss = quality_loss
        abi.check(self._lib.thermoe_observe(self.handle, ctypes.byref(step)))
        del kept

    def set_reading(self, *, power_w: Optional[float] = None, power_average_w: Optional[float] = None,
                    temperature_c: Optional[float] = None, memory_temperature_c: Optional[float] = None) -> None:
        """What the GPU's sensors show now, for configurations with telemetry.source "caller"."""
        given = {"power_w": power_w, "power_average_w": power_average_w, "temperature_c": temperature_c,
                 "memory_temperature_c": memory_temperature_c}
        reading = abi.ReadingStruct()
        for name, value in given.items():
            if value is not None:
                setattr(reading, name, value)
                reading.known |= abi.READING[name]
        abi.check(self._lib.thermoe_set_reading(self.handle, ctypes.byref(reading)))

    def state(self) -> ControllerState:
        """What the controller believed at its last tick."""
        state = abi.StateStruct()
        abi.check(self._lib.thermoe_read_state(self.handle, ctypes.byref(state)))
        numbers: dict[str, Any] = {}
        for name, bit in abi.STATE.items():
            known = state.known & bit == bit
            numbers["price" if name == "lambda" else name] = getattr(state, name) if known else None
        return ControllerState(ticks=state.ticks, steps=state.steps, tokens=state.tokens, skipped=state.skipped,
                               plan_kind=_PLAN_KINDS[state.plan_kind], saturated=bool(state.saturated),
                               simulated=bool(state.simulated), reason=state.reason.decode(errors="replace"), **numbers)

    def advance(self, now_s: float) -> None:
        """Sets the time, for configurations with control.thread false, and runs the ticks that have come due."""
        abi.check(self._lib.thermoe_advance(self.handle, now_s))

    def __repr__(self) -> str:
        if not self._handle:
            return "Controller(closed)"
        state = self.state()
        return (f"Controller({self.layers} layers x {self.experts} experts, plan {self._version} ({state.plan_kind}), price "
                f"{state.price:.3g}, step period {1e3 * state.step_period_s:.3g} ms"
                f"{', simulated' if state.simulated else ''}{', ' + state.reason if state.reason else ''})")


class _Array:
    """Numbers in memory: where, how many and of which type. Holds what they belong to."""

    def __init__(self, name: str, owner: Any) -> None:
        self.name, self.owner = name, owner
        if hasattr(owner, "data_ptr"):  # torch, which is not imported for it
            if owner.device.type != "cpu":
                raise abi.BadInputError(f"{name} lie on {owner.device}; copy them to the CPU, pinned where nothing may wait")
            self.shape, self.dtype = tuple(owner.shape), str(owner.dtype).removeprefix("torch.")
            self.contiguous, self.address = owner.is_contiguous(), owner.data_ptr()
        elif hasattr(owner, "__array_interface__"):
            interface = owner.__array_interface__
            self.shape, self.dtype = tuple(owner.shape), str(owner.dtype)
            self.contiguous, self.address = interface.get("strides") is None, interface["data"][0]
        else:
            view = memoryview(owner)
            self.shape, self.contiguous = tuple(view.shape or ()), view.c_contiguous
            self.dtype = {"f": "float32", "e": "float16", "i": "int32"}.get(view.format, view.format)
            cells = ctypes.c_char * view.nbytes
            # Read-only memory has no address in ctypes; what is passed is copied in any case.
            self.owner = cells.from_buffer_copy(view) if view.readonly else cells.from_buffer(view)
            self.address = ctypes.addressof(self.owner)

    def require(self, shape: tuple[Optional[int], ...], dtypes: tuple[str, ...]) -> None:
        fits = len(self.shape) == len(shape) and all(want in (None, have) for want, have in zip(shape, self.shape))
        if not fits or self.dtype not in dtypes or not self.contiguous or not math.prod(self.shape):
            wanted = ", ".join("tokens" if n is None else str(n) for n in shape)
            raise abi.BadInputError(f"{self.name} are {self.dtype} {list(self.shape)}{'' if self.contiguous else ', strided'}, "
                                    f"where [{wanted}] of {' or '.join(dtypes)} in one piece are needed")
