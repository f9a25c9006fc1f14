# SPDX-License-Identifier: Apache-2.0
"""Weights in the layouts that the kernels read: panels of 16 outputs (docs/adr/0004-int4-layout.md for int4)."""
from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

_PANEL = 16
_MIDDLE = 8


def pack_panels(weight: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """[..., outputs, inputs] as float32 [..., panels, inputs, 16] or bfloat16 [..., panels, (inputs + 1) / 2, 16, 2],
    padded with zeros."""
    outputs, inputs = weight.shape[-2:]
    padded = F.pad(weight.to(dtype), (0, inputs % 2 if dtype == torch.bfloat16 else 0, 0, -outputs % _PANEL))
    if dtype == torch.float32:
        return padded.unflatten(-2, (-1, _PANEL)).transpose(-1, -2).contiguous()
    if dtype == torch.bfloat16:
        return padded.unflatten(-1, (-1, 2)).unflatten(-3, (-1, _PANEL)).transpose(-2, -3).contiguous()
    raise ValueError(f"experts are packed as float32 or bfloat16, not {dtype}")


class Int4Matrix(NamedTuple):
    """W [outputs, inputs] = scale * (q - zero) by groups of inputs, or one such matrix of each expert."""
    words: torch.Tensor                #: int32 [..., panels, inputs / 8, 16], the lowest nibble the lowest input
    scales: torch.Tensor               #: float32 [..., panels, groups, 16]
    zero_points: torch.Tensor | None   #: uint8, as scales; None: symmetric, all 8
    outputs: int

    @property
    def group(self) -> int:
        """Inputs that share a scale."""
        return self.words.shape[-2] * 8 // self.scales.shape[-2]

    def dequantise(self) -> torch.Tensor:
        """float32 [..., outputs, inputs]."""
        nibbles = self.words.unsqueeze(-1) >> torch.arange(0, 32, 4, device=self.words.device) & 15
        steps = nibbles.transpose(-2, -3).flatten(-2).flatten(-3, -2)
        return ((steps - self._by_input(self.zero_points, _MIDDLE)) * self._by_input(self.scales))[..., :self.outputs, :]

    def _by_input(self, cells: torch.Tensor | None, otherwise: int = 0) -> torch.Tensor | int:
        """[..., panels, groups, 16] as [..., padded outputs, inputs]."""
        if cells is None:
            return otherwise
        return cells.transpose(-1, -2).flatten(-3, -2).repeat_interleave(self.group, -1).float()


def quantise_int4(weight: torch.Tensor, group: int = 128, zero_point: bool = False) -> Int4Matrix:
    """Rounds finite weights [..., outputs, inputs]. Symmetric: scale = max|w| / 7, an error of at most scale / 2. With
    a zero point: the group's range, widened to hold 0, in 15 steps, an error of at most scale."""
    outputs, inputs = weight.shape[-2:]
    if group not in (32, 64, 128) or inputs % group:
        raise ValueError(f"group={group} for {inputs} inputs; groups are of 32, 64 or 128 and divide the inputs")
    if not weight.isfinite().all():
        raise ValueError("only finite weights quantise")
    w = weight.float().unflatten(-1, (-1, group))
    if zero_point:
        bottom = w.amin(-1).clamp(max=0)
        scales = (w.amax(-1).clamp(min=0) - bottom) / 15
        zeros = torch.where(scales > 0, _round(-bottom / scales), 0).clamp(0, 15)
    else:
        scales = w.abs().amax(-1) / 7
        zeros = torch.full_like(scales, _MIDDLE)
    steps = torch.where(scales.unsqueeze(-1) > 0, _round(w / scales.unsqueeze(-1)), 0)
    q = (steps + zeros.unsqueeze(-1)).clamp(0, 15).flatten(-2).long()
    q = F.pad(q, (0, 0, 0, -outputs % _PANEL), value=_MIDDLE)
    words = (q.unflatten(-1, (-1, 8)) << torch.arange(0, 32, 4, device=q.device)).sum(-1)
    words = (words - (words >> 31 << 32)).int()  # the same 32 bits, signed
    return Int4Matrix(_cells(words), _cells(F.pad(scales, (0, 0, 0, -outputs % _PANEL))),
                      _cells(F.pad(zeros, (0, 0, 0, -outputs % _PANEL), value=_MIDDLE).byte()) if zero_point else None,
                      outputs)


def _round(x: torch.Tensor) -> torch.Tensor:
    """To the nearest, halves away from zero, as C's lround. In float64, in which no x + 0.5 is rounded."""
    x = x.double()
    return (x.abs() + 0.5).floor() * x.sign()


def _cells(rows: torch.Tensor) -> torch.Tensor:
    """[..., padded outputs, columns] as [..., panels, columns, 16]."""
    return rows.unflatten(-2, (-1, _PANEL)).transpose(-1, -2).contiguous()


class PanelExperts(NamedTuple):
    """A layer's experts in float32 or bfloat16."""
    gate: torch.Tensor | None
    up: torch.Tensor
    down: torch.Tensor
    d_ff: int
    kind: str
    up_bias: torch.Tensor | None
    down_bias: torch.Tensor | None


class Int4Experts(NamedTuple):
    """A layer's experts in int4."""
    gate: Int4Matrix | None
    up: Int4Matrix
    down: Int4Matrix
    d_ff: int
    kind: str
    up_bias: torch.Tensor | None
    down_bias: torch.Tensor | None


def pack_experts(gate: torch.Tensor | None, up: torch.Tensor, down: torch.Tensor, *, kind: str = "swiglu",
                 dtype: torch.dtype = torch.bfloat16, up_bias: torch.Tensor | None = None,
                 down_bias: torch.Tensor | None = None) -> PanelExperts:
    """gate and up [experts, d_ff, d_model], down [experts, d_model, d_ff]; biases [experts, d_ff] and
    [experts, d_model]. kind: swiglu, down(silu(gate x) * up x); relu or gelu (tanh), down(act(up x)), without gate."""
    return PanelExperts(None if gate is None else pack_panels(gate, dtype), pack_panels(up, dtype),
                        pack_panels(down, dtype), up.shape[1], kind, _padded(up_bias), _padded(down_bias))


def quantise_experts(gate: torch.Tensor | None, up: torch.Tensor, down: torch.Tensor, *, kind: str = "swiglu",
                     group: int = 128, zero_point: bool = False, up_bias: torch.Tensor | None = None,
                     down_bias: torch.Tensor | None = None) -> Int4Experts:
    """The same in int4; biases stay float32."""
    return Int4Experts(None if gate is None else quantise_int4(gate, group, zero_point),
                       quantise_int4(up, group, zero_point), quantise_int4(down, group, zero_point), up.shape[1], kind,
                       _padded(up_bias), _padded(down_bias))


def _padded(bias: torch.Tensor | None) -> torch.Tensor | None:
    return None if bias is None else F.pad(bias.float(), (0, -bias.shape[-1] % _PANEL)).contiguous()
