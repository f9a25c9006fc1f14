# SPDX-License-Identifier: Apache-2.0
"""A rank whose reports go with vLLM's outputs."""
from __future__ import annotations

import copy
from typing import Any

from ..engine import rank
from .messages import give_reports


class Rank(rank.Rank):
    """`attach_reports` is called by whichever thread makes an output."""

    def attach_reports(self, output: Any) -> Any:
        """The output, with the reports that are ready; one that is still under way gets them when it is made."""
        if hasattr(output, "get_output"):  # an AsyncModelRunnerOutput
            stock = output.get_output
            output.get_output = lambda: self._with_reports(stock())
            return output
        return self._with_reports(output)

    def _with_reports(self, output: Any) -> Any:
        reports = self.take_reports() if output is not None else []
        if reports:
            output = copy.copy(output)  # vLLM shares one empty output among steps
            give_reports(output, reports)
        return output
