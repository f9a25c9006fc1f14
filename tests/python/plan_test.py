# SPDX-License-Identifier: Apache-2.0
"""thermoe.RoutingPlan: the block of docs/adr/0003-plan-buffer.md and what it refuses."""
import math
import struct

import pytest

import thermoe
from thermoe import LayerRow, RoutingPlan


def sample():
    return RoutingPlan([LayerRow(4, 1, 0.5, 0.25), LayerRow(3, 2)], [[0.5, -1, 0, 0, 2], [0] * 5],
                       [[0, 1, 2, 3, math.inf], [0.125] * 5], version=7)


def test_a_plans_block_has_the_documented_offsets():
    block = sample().to_bytes()
    assert struct.unpack_from("<4sIQII", block) == (b"THPL", 2, 7, 2, 5)
    assert struct.unpack_from("<iiff", block, 64) == (4, 1, 0.5, 0.25)
    assert struct.unpack_from("<ii", block, 96) == (3, 2)
    assert struct.unpack_from("<5f", block, 128) == (0.5, -1, 0, 0, 2)
    assert struct.unpack_from("<5f", block, 128 + 40) == (0, 1, 2, 3, math.inf)
    assert struct.unpack_from("<f", block, 128 + 60) == (0.125,)
    assert len(block) == 256  # 64 + 2 * 32 + 2 * 40 + 2 * 10 = 228, rounded up to 64


def test_a_plan_is_read_back_from_its_block():
    plan = RoutingPlan.from_bytes(sample().to_bytes())
    assert plan.to_bytes() == sample().to_bytes()
    assert (plan.layers, plan.experts, plan.version, plan.rows) == (2, 5, 7, sample().rows)
    assert repr(plan) == "RoutingPlan(version 7: 2 layers x 5 experts, k 4, prices 0..inf)"


def test_bytes_that_are_no_plan_are_refused():
    block = sample().to_bytes()
    with pytest.raises(ValueError, match="3 bytes are no plan"):
        RoutingPlan.from_bytes(b"abc")
    with pytest.raises(ValueError, match="magic 0x0"):
        RoutingPlan.from_bytes(bytes(256))
    with pytest.raises(ValueError, match="192 bytes, where a plan of 2 layers x 5 experts has 256"):
        RoutingPlan.from_bytes(block[:192])


@pytest.mark.parametrize("changes, message", [
    (dict(rows=[LayerRow(6, 1)]), "layer 0: k=6 and k_min=1 are not 1 <= k_min <= k <= 5"),
    (dict(rows=[LayerRow(2, 3)]), "k=2 and k_min=3"),
    (dict(rows=[LayerRow(2, 1, 1.5)]), "extra_k_share=1.5"),
    (dict(selection_bias=[[math.nan] * 5]), "selection_bias must be finite"),
    (dict(activation_price=[[-1.0] * 5]), "activation_price must be 0 or more"),
    (dict(activation_price=[[math.nan] * 5]), "activation_price must be 0 or more"),
    (dict(activation_price=[[0.0] * 4]), "not 5 biases and prices"),
    (dict(rows=[LayerRow(2, 1)] * 2), "2 rows, 1 rows of biases"),
])
def test_a_plan_that_no_router_could_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RoutingPlan(**{**dict(rows=[LayerRow(2, 1)], selection_bias=[[0.0] * 5], activation_price=[[0.0] * 5]), **changes})


def test_a_plan_is_made_without_torch():
    import subprocess
    import sys
    program = "import sys, thermoe; thermoe.RoutingPlan.priced(2, 8, 2, price=1); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60).stdout == "False\n"
    assert thermoe.RoutingPlan is RoutingPlan
