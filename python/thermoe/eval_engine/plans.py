# SPDX-License-Identifier: Apache-2.0
"""The plans that are compared: the model's own routing, then prices, by number or by settings file."""
from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..engine.settings import LARGEST_PRICE, SettingsError, read_settings
from ..plan import RoutingPlan
from .bad_input import BadInput

if TYPE_CHECKING:
    from ..routing import Denominator


@dataclasses.dataclass(frozen=True)
class PricedPlan:
    """One price for every expert of every layer."""
    price: float
    k_min: int = 1
    denominator: Denominator = "reference"
    settings: str | None = None  # the file that it is from

    @property
    def name(self) -> str:
        return f"{self.price:g}" + (f", k_min {self.k_min}" if self.k_min > 1 else "")

    def routing_plan(self, layers: int, experts: int, k: int) -> RoutingPlan:
        if self.k_min > k:
            raise BadInput(f"k_min {self.k_min}: expected at most the {k} experts that a token of this model takes")
        return RoutingPlan.priced(layers, experts, k, price=self.price, k_min=self.k_min)

    def write_settings(self, path: pathlib.Path) -> None:
        """A settings file of the plug-ins' for it."""
        path.write_text(json.dumps({"plan": {"price": self.price, "k_min": self.k_min}, "denominator": self.denominator}))


def read_plans(prices: Sequence[float], k_min: int, denominator: Denominator, files: Sequence[str]) -> list[PricedPlan]:
    """Raises BadInput."""
    for price in prices:
        _require_price(price, f"--price {price:g}")
    plans = [PricedPlan(price, k_min, denominator) for price in prices] + [_of_file(file) for file in files]
    if not plans:
        raise BadInput("--price or --settings: what is to be compared with the model's own routing? As in --price 0.05 0.1")
    for plan in plans:
        if plan.denominator != plans[0].denominator:
            raise BadInput(f"--settings {plan.settings}: its denominator is {plan.denominator!r}, that of the plans before "
                           f"{plans[0].denominator!r}; compare them in runs of their own")
    return plans


def _of_file(file: str) -> PricedPlan:
    try:
        settings = read_settings(file)
    except SettingsError as error:
        raise BadInput(str(error)) from error
    if settings.plan is None:
        raise BadInput(f"{settings.path}: asks for a target, under which prices change with the hardware's state; give a "
                       "\"plan\" with the price whose quality is wanted, as {\"plan\": {\"price\": 0.1}}. A controller's is "
                       "thermoe_activation_price of its metrics")
    _require_price(settings.plan.price, f"{settings.path}: plan.price is {settings.plan.price:g}")
    return PricedPlan(settings.plan.price, settings.plan.k_min, settings.denominator, settings.path)


def _require_price(price: float, what: str) -> None:
    if not 0 <= price <= LARGEST_PRICE:
        raise BadInput(f"{what}: expected a finite number of 0 or more, of {LARGEST_PRICE:g} at most; at 1000 only a token's "
                       "best run")
