# SPDX-License-Identifier: Apache-2.0
"""The two buffers that the ops read in each step, at addresses that never change: captured graphs hold them."""
from __future__ import annotations

import ctypes

import torch

from .plan import HEADER, LAYER, LAYOUT_VERSION, MAGIC, byte_size


class DevicePlan:
    """A routing plan in one block of bytes (docs/adr/0003-plan-buffer.md), the baseline until the first update.

    The views k, k_min [layers] int32, extra_k_share, extra_k_min_share [layers] float32, selection_bias,
    activation_price [layers, experts] float32 and variant [layers, experts] uint8 are of the block itself.
    """

    def __init__(self, layers: int, experts: int, k: int, device: torch.device | str = "cpu") -> None:
        if layers < 1 or not 1 <= k <= experts:
            raise ValueError(f"layers={layers}, k={k}, experts={experts}: expected layers >= 1 and 1 <= k <= experts")
        self.layers = layers
        self.experts = experts
        rows = HEADER.size + LAYER.size * layers
        cells = layers * experts
        self.block = torch.zeros(byte_size(layers, experts), dtype=torch.uint8, device=device)
        header = bytearray(HEADER.pack(MAGIC, LAYOUT_VERSION, 0, layers, experts))
        self.block[:HEADER.size].copy_(torch.frombuffer(header, dtype=torch.uint8))
        table = self.block[HEADER.size:rows]
        self.k, self.k_min = table.view(torch.int32).view(layers, 8)[:, :2].unbind(1)
        self.extra_k_share, self.extra_k_min_share = table.view(torch.float32).view(layers, 8)[:, 2:4].unbind(1)
        self.selection_bias = self.block[rows:rows + 4 * cells].view(torch.float32).view(layers, experts)
        self.activation_price = (
            self.block[rows + 4 * cells:rows + 8 * cells].view(torch.float32).view(layers, experts))
        self.variant = self.block[rows + 8 * cells:rows + 9 * cells].view(layers, experts)
        self.k.fill_(k)
        self.k_min.fill_(k)

    def update(self, plan: bytes | bytearray | memoryview, *, staging: torch.Tensor | None = None) -> None:
        """Copies a plan of the same shape here, on a device in torch's current stream: between two steps, not in a
        captured graph. What the stream was given before reads the old plan, what comes after the new one.

        staging: pinned uint8 of the block's size, by way of which nothing waits; the caller's, and not to be written
        again before the stream has passed this."""
        if len(plan) != self.block.numel():
            raise ValueError(f"a plan of {len(plan)} bytes; {self.layers} layers of {self.experts} experts take "
                             f"{self.block.numel()}")
        magic, layout, _, layers, experts = HEADER.unpack_from(plan)
        if magic != MAGIC or layout != LAYOUT_VERSION:
            raise ValueError(f"no plan block of layout {LAYOUT_VERSION}: it starts with {bytes(plan[:8])!r}")
        if (layers, experts) != (self.layers, self.experts):
            raise ValueError(f"a plan of {layers} layers and {experts} experts; expected {self.layers} and "
                             f"{self.experts}")
        if staging is None:
            self.block.copy_(torch.frombuffer(bytearray(plan), dtype=torch.uint8), non_blocking=True)
            return
        if staging.numel() != len(plan) or not staging.is_contiguous():
            raise ValueError(f"staging of {staging.numel()} bytes; the block takes {len(plan)}, contiguous")
        # By this thread alone: Tensor.copy_ would share a block of this size out among OpenMP's, and wait for them.
        ctypes.memmove(staging.data_ptr(), bytes(plan), len(plan))
        self.block.copy_(staging, non_blocking=True)


class StepState:
    """What a step is: its number (the tokens of a plan's shares rotate by it), the rows that are no padding, and
    whether it is prefill, in which every expert runs anyway and prices have no effect.

    `tensor` is int32 [4]; `valid` and `phase` are int32 [1] views, for engines that have these numbers on the device.
    """
    ALL_TOKENS = -1

    def __init__(self, device: torch.device | str = "cpu", *, tensor: torch.Tensor | None = None) -> None:
        """tensor: int32 [4] that holds it already, as part of a larger buffer that the caller writes at once."""
        if tensor is None:
            tensor = torch.tensor([0, 0, self.ALL_TOKENS, 0], dtype=torch.int32, device=device)
        self.tensor = tensor
        self.valid = self.tensor[2:3]
        self.phase = self.tensor[3:4]

    def set(self, step: int = 0, valid: int = ALL_TOKENS, prefill: bool = False) -> None:
        """On a device in torch's current stream, before a step or the replay of its graph."""
        if step < 0 or valid < self.ALL_TOKENS:
            raise ValueError(f"step={step} and valid={valid}: expected a step of 0 or more, valid rows or -1 for all")
        value = torch.tensor([step, valid & 0xFFFFFFFF | int(prefill) << 32], dtype=torch.int64)
        self.tensor.copy_(value.view(torch.int32), non_blocking=True)
