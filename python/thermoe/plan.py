# SPDX-License-Identifier: Apache-2.0
"""A routing plan: what the control plane tells the data plane, one block of bytes (docs/adr/0003-plan-buffer.md)."""
import dataclasses
import math
import struct
from collections.abc import Sequence

MAGIC = 0x4C504854  # "THPL"
LAYOUT_VERSION = 2
HEADER = struct.Struct("<IIQII40x")
LAYER = struct.Struct("<iiff16x")


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """How many experts a token of a layer takes."""
    k: int
    k_min: int  # each token's k_min best are never priced out
    extra_k_share: float = 0.0  # of tokens that take k + 1
    extra_k_min_share: float = 0.0  # of tokens whose k_min + 1 best are never priced out


class RoutingPlan:
    """Selection biases, activation prices and counts of a model's MoE layers. A value: made once, then read.

    Biases are in units of a token's own top-k mass and subtracted; prices are in the same units, 0 and more, and may be
    infinite. Raises ValueError naming layer and value where a router could not run it.
    """

    def __init__(self, rows: Sequence[LayerRow], selection_bias: Sequence[Sequence[float]],
                 activation_price: Sequence[Sequence[float]], version: int = 0) -> None:
        self.rows = tuple(rows)
        self.selection_bias = tuple(tuple(map(float, row)) for row in selection_bias)
        self.activation_price = tuple(tuple(map(float, row)) for row in activation_price)
        self.version = version
        if not self.rows or len(self.selection_bias) != self.layers or len(self.activation_price) != self.layers:
            raise ValueError(f"{self.layers} rows, {len(self.selection_bias)} rows of biases and "
                             f"{len(self.activation_price)} of prices: a plan has one of each for every layer")
        for layer in range(self.layers):
            self._check(layer)

    @classmethod
    def baseline(cls, layers: int, experts: int, k: int) -> "RoutingPlan":
        """The plan that leaves a model's own routing as it is, bit for bit."""
        return cls.priced(layers, experts, k, price=0.0, k_min=k)

    @classmethod
    def priced(cls, layers: int, experts: int, k: int, *, price: float, k_min: int = 1) -> "RoutingPlan":
        """One price for every expert: what a decode batch would lose without it, below which it does not run."""
        return cls([LayerRow(k, k_min)] * layers, [[0.0] * experts] * layers, [[price] * experts] * layers)

    @classmethod
    def from_bytes(cls, block: "bytes | bytearray | memoryview") -> "RoutingPlan":
        """Reads a plan's block. Raises ValueError where it is none."""
        view = memoryview(block).cast("B")
        if len(view) < HEADER.size:
            raise ValueError(f"{len(view)} bytes are no plan: its header alone has {HEADER.size}")
        magic, layout, version, layers, experts = HEADER.unpack_from(view)
        if magic != MAGIC or layout != LAYOUT_VERSION:
            raise ValueError(f"magic {magic:#x} and layout {layout}, where a plan of this version has {MAGIC:#x} and "
                             f"{LAYOUT_VERSION}")
        if len(view) != byte_size(layers, experts):
            raise ValueError(f"{len(view)} bytes, where a plan of {layers} layers x {experts} experts has "
                             f"{byte_size(layers, experts)}")
        rows = [LayerRow(*LAYER.unpack_from(view, HEADER.size + LAYER.size * l)) for l in range(layers)]
        at = HEADER.size + LAYER.size * layers
        cells = layers * experts
        tables = [struct.unpack_from(f"<{cells}f", view, at + 4 * cells * n) for n in range(2)]
        bias, price = ([table[experts * l:experts * (l + 1)] for l in range(layers)] for table in tables)
        return cls(rows, bias, price, version)

    def to_bytes(self) -> bytes:
        """The block, as the ops and the C ABI read it."""
        parts = [HEADER.pack(MAGIC, LAYOUT_VERSION, self.version, self.layers, self.experts)]
        parts += [LAYER.pack(*dataclasses.astuple(row)) for row in self.rows]
        for table in (self.selection_bias, self.activation_price):
            parts += [struct.pack(f"<{self.experts}f", *row) for row in table]
        block = b"".join(parts)
        return block.ljust(byte_size(self.layers, self.experts), b"\0")

    @property
    def layers(self) -> int:
        return len(self.rows)

    @property
    def experts(self) -> int:
        return len(self.selection_bias[0])

    def __repr__(self) -> str:
        prices = [p for row in self.activation_price for p in row]
        return (f"RoutingPlan(version {self.version}: {self.layers} layers x {self.experts} experts, k "
                f"{self.rows[0].k}, prices {min(prices):.3g}..{max(prices):.3g})")

    def _check(self, layer: int) -> None:
        row, where = self.rows[layer], f"layer {layer}:"
        if len(self.selection_bias[layer]) != self.experts or len(self.activation_price[layer]) != self.experts:
            raise ValueError(f"{where} not {self.experts} biases and prices, as layer 0 has")
        if not 1 <= row.k_min <= row.k <= self.experts:
            raise ValueError(f"{where} k={row.k} and k_min={row.k_min} are not 1 <= k_min <= k <= {self.experts}")
        if not (0 <= row.extra_k_share <= 1 and 0 <= row.extra_k_min_share <= 1):
            raise ValueError(f"{where} extra_k_share={row.extra_k_share} or extra_k_min_share={row.extra_k_min_share} "
                             "is outside 0..1")
        if not all(map(math.isfinite, self.selection_bias[layer])):
            raise ValueError(f"{where} selection_bias must be finite")
        if not all(price >= 0 for price in self.activation_price[layer]):
            raise ValueError(f"{where} activation_price must be 0 or more")


def byte_size(layers: int, experts: int) -> int:
    """Bytes of a plan's block."""
    size = HEADER.size + LAYER.size * layers + 10 * layers * experts
    return -(-size // 64) * 64
