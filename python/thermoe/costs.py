# SPDX-License-Identifier: Apache-2.0
"""What a layer of experts costs on a GPU, by measurement (docs/cost-model.md)."""
import ctypes
import dataclasses
import os
from collections.abc import Sequence
from typing import Literal, Optional, Union

from . import _c_abi as abi

Basis = Literal["measured", "interpolated", "extrapolated"]
_BASES: tuple[Basis, ...] = ("measured", "interpolated", "extrapolated")


@dataclasses.dataclass(frozen=True)
class Cost:
    """One call of an op."""
    latency_s: float
    energy_j: float  # above active idle
    basis: Basis  # how firmly it is known


@dataclasses.dataclass(frozen=True)
class ExpertShape:
    """The expert layers of a model."""
    name: str
    layers: int
    shape: tuple[int, int, int, int]  # experts, k, d_model, d_ff
    gated: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
    """What a cost model has measured."""
    op: str
    shape: tuple[int, ...]
    dtype: str


class CostModel(abi.Handle):
    """A kernel_cost_model.json:

        model = CostModel("data/h100/kernel_cost_model.json")
        model.layer("Qwen3-30B-A3B", tokens=16, active=48.8).energy_j

    Raises BadInputError naming file and key for a file that is none.
    """
    _kind = "costs_"

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = os.fspath(path)
        super().__init__(self.path)
        told = abi.read_json(self._lib.thermoe_costs_describe, self.handle)
        self.device: str = told["device"]
        self.driver: str = told["driver"]
        self.idle_active_w: float = told["idle_active_w"]
        self.idle_cold_w: float = told["idle_cold_w"]
        self.models = tuple(ExpertShape(m["name"], m["layers"], tuple(m["shape"]), m["gated"]) for m in told["models"])
        self.tables = tuple(Table(t["op"], tuple(t["shape"]), t["dtype"]) for t in told["tables"])

    def layer(self, model: Union[str, ExpertShape, Sequence[int]], *, tokens: float, active: Optional[float] = None,
              dtype: str = "bf16") -> Cost:
        """One layer of experts at so many tokens, `active` of its experts distinct (all that `tokens` can reach at most,
        where it is left out). `model`: a name of `models`, or [experts, k, d_model, d_ff] of gated experts."""
        shape = self._shape(model)
        reached = min(shape.shape[0], shape.shape[1] * tokens) if active is None else active
        cost = abi.CostStruct()
        abi.check(self._lib.thermoe_costs_layer(self.handle, (ctypes.c_int32 * 4)(*shape.shape), shape.gated,
                                                dtype.encode(), tokens, reached, ctypes.byref(cost)))
        return Cost(latency_s=cost.latency_s, energy_j=cost.energy_j, basis=_BASES[cost.basis])

    def __repr__(self) -> str:
        return f"CostModel({self.path}: {self.device}, {len(self.tables)} tables, {', '.join(m.name for m in self.models)})"

    def _shape(self, model: Union[str, ExpertShape, Sequence[int]]) -> ExpertShape:
        if isinstance(model, ExpertShape):
            return model
        if not isinstance(model, str):
            if len(model) != 4:
                raise abi.BadInputError(f"a shape of {len(model)} numbers, where [experts, k, d_model, d_ff] is one")
            experts, k, d_model, d_ff = model
            return ExpertShape("", 1, (experts, k, d_model, d_ff))
        for shape in self.models:
            if shape.name == model:
                return shape
        raise abi.BadInputError(f"{self.path} names no model \"{model}\"; it names "
                                f"{', '.join(m.name for m in self.models) or 'none'}")
