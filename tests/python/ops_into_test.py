# SPDX-License-Identifier: Apache-2.0
"""thermoe::topk_route.into routes as topk_route does, and writes an engine's own buffers and nothing else of them."""
import itertools

import pytest
import torch

from thermoe import ops

LAYERS, EXPERTS, ROWS = 3, 24, 6
ROUTER = ops.Router(k=4)


def priced_plan(price):
    plan = ops.DevicePlan(LAYERS, EXPERTS, ROUTER.k)
    plan.k_min.fill_(1)
    plan.activation_price.fill_(price)
    return plan


def step_of(valid):
    step = ops.StepState()
    step.set(5, valid=valid)
    return step


@pytest.mark.parametrize("price,valid,dtype", [*itertools.product(
    (0.0, 0.4, float("inf")), (-1, 0, 7), (torch.float32, torch.bfloat16, torch.float16))])
def test_picks_and_counts_are_topk_routes_with_filled_slots(price, valid, dtype):
    torch.manual_seed(1)
    logits, beta = (torch.randn(11, EXPERTS) * 2).to(dtype), torch.rand(EXPERTS) / 5
    given = {"beta": beta, "plan": priced_plan(price), "layer": 1, "step": step_of(valid)}
    counts = torch.full((LAYERS, EXPERTS), -7, dtype=torch.int32)
    weights, ids = ops.topk_route_into(logits, ROUTER, counts=counts[1], **given)
    wanted = ops.topk_route(logits, ROUTER, fill_slots=True, **given)
    assert torch.equal(weights, wanted.weights) and torch.equal(ids, wanted.ids)
    assert torch.equal(counts[1], wanted.counts)
    assert (counts[::2] == -7).all()


def bits(tensor):
    """A NaN equals itself."""
    return tensor.view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


@pytest.mark.parametrize("slot,valid,dtype", [*itertools.product(
    (-1, 0, 1, 2), (-1, 4, 11), (torch.float32, torch.bfloat16, torch.float16))])
def test_the_slot_that_the_word_names_holds_the_layers_logits(slot, valid, dtype):
    torch.manual_seed(2)
    logits = torch.randn(11, EXPERTS).to(dtype)
    logits[0, 3] = torch.nan
    samples = torch.full((2, LAYERS, ROWS, EXPERTS), 9.0, dtype=dtype)
    wanted = samples.clone()
    rows = min(ROWS, 11 if valid < 0 else valid)
    if slot in (0, 1):
        wanted[slot, 1, :rows] = logits[:rows]
    ops.topk_route_into(logits, ROUTER, plan=None, layer=0, step=step_of(valid),
                        counts=torch.empty(EXPERTS, dtype=torch.int32), samples=samples[:, 1],
                        slot=torch.tensor([slot], dtype=torch.int32))
    assert torch.equal(bits(samples), bits(wanted))


def test_more_rows_than_tokens_leave_the_rest_as_it_was():
    samples = torch.full((2, 5, EXPERTS), 9.0)
    logits = torch.randn(2, EXPERTS)
    ops.topk_route_into(logits, ROUTER, plan=None, layer=0, step=None, counts=torch.empty(EXPERTS, dtype=torch.int32),
                        samples=samples, slot=torch.tensor([1], dtype=torch.int32))
    assert torch.equal(samples[1, :2], logits)
    assert (samples[0] == 9).all() and (samples[1, 2:] == 9).all()
