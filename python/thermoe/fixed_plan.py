# SPDX-License-Identifier: Apache-2.0
"""A plan that stays, in a controller's place."""
from typing import Any

from .control import Decision
from .plan import RoutingPlan


class FixedPlan:
    """Decides one thing for good, and is told nothing of what it did."""

    def __init__(self, plan: RoutingPlan) -> None:
        self._plan = plan
        self._decision = Decision(version=plan.version, plan=memoryview(plan.to_bytes()), active=None, step_period_s=0.0,
                                  valid_for_s=None, safe=False, sample_wanted=False, calibrating=False)

    def acquire(self) -> Decision:
        return self._decision

    def observe(self, **_: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def __repr__(self) -> str:
        return repr(self._plan)
