# SPDX-License-Identifier: Apache-2.0
"""What captured graphs hold the addresses of: made once, never moved, and written between steps alone."""
from __future__ import annotations

import torch

from ..plan_block import DevicePlan, StepState

NO_SAMPLE = -1
#: int32 words of a step: StepState's four, and the sample's slot.
WORDS = 5


class StepBuffers:
    """A plan, a step's state, the experts' counts and two slots for its gate logits, all on one device.

    They are no parameters of the model, so that loading weights leaves them alone, and no inference tensors, so that
    they may be written anywhere. At first all rows are tokens of a prompt, under the plan that changes nothing: warm-up
    and capture route as the model does.
    """

    def __init__(self, layers: int, experts: int, k: int, rows: int, device: torch.device) -> None:
        self.layers, self.experts, self.rows, self.device = layers, experts, rows, device
        with torch.inference_mode(False):
            self.plan = DevicePlan(layers, experts, k, device)
            self.words = torch.tensor([0, 0, StepState.ALL_TOKENS, 1, NO_SAMPLE], dtype=torch.int32, device=device)
            self.step = StepState(device, tensor=self.words[:4])
            self.counts = torch.zeros(layers, experts, dtype=torch.int32, device=device)
        self.slot = self.words[4:]
        self.samples: torch.Tensor | None = None  # [2, layers, rows, experts], of the logits' type

    def samples_of(self, layer: int, logits: torch.Tensor) -> torch.Tensor:
        """A layer's two slots. The first call makes them all: the gates' type is not known earlier."""
        if self.samples is None:
            if logits.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                raise RuntimeError("a router's first call is a graph's capture: an engine runs the model once before, "
                                   "by which the buffers of its logits are made")
            with torch.inference_mode(False):
                shape = (2, self.layers, self.rows, self.experts)
                self.samples = torch.zeros(shape, dtype=logits.dtype, device=self.device)
        if logits.dtype != self.samples.dtype:
            raise RuntimeError(f"layer {layer}'s gate gives {logits.dtype}, the first one's {self.samples.dtype}: all "
                               "MoE layers must give one type of logits")
        return self.samples[:, layer]
