# SPDX-License-Identifier: Apache-2.0
"""Triton twins of two ops: the semantics and layouts of src/kernels/topk_route.h and fused_dequant_linear.h.

compile_triton.py compiles them ahead of time for the backend `triton` of the C++ library, which passes the arguments in
this order. They are written so that Triton's interpreter runs them too. Flags and codes are run-time arguments: a
constexpr would double the number of compiled kernels.
"""
import triton
import triton.language as tl


@triton.jit
def sqrt_softplus(x):
    """sqrt(ln(1 + e^x)). ln(1 + y) = 2 artanh(s), s = y / (2 + y): no digits are lost for small y = e^-|x|."""
    y = tl.exp(-tl.abs(x))
    s = tl.div_rn(y, 2.0 + y)
    q = s * s
    series = 1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0))
    series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * series))))
    return tl.sqrt_rn(tl.minimum(tl.maximum(x, 0.0), 3.4028234e38) + 2.0 * s * series)


@triton.jit
def custom_topk_kernel(logits, beta, expert, weight, experts, k, slots, score, has_beta, divide, scale,
                       EXPERTS: tl.constexpr, SLOTS: tl.constexpr):
    """Plain routing of one token a program: its k best experts and their weights, best first.

    logits [tokens, experts] f32, bf16 or f16; beta [experts] f32, read if has_beta; expert i32 and weight f32
    [tokens, slots]. score: 0 softmax, 1 sigmoid, 2 sqrt_softplus. divide: the weights sum to `scale`; else they are
    scale * p. Ties: lowest id. NaN: never picked; a slot without an expert holds -1 and weighs 0.
    EXPERTS >= experts and SLOTS >= slots are powers of two.
    """
    NEVER: tl.constexpr = -(2**63)  # ranks below every expert: NaN, taken, outside the router
    LAST_ID: tl.constexpr = 0x7FFFFFFF
    token = tl.program_id(0).to(tl.int64)
    e = tl.arange(0, EXPERTS)
    slot = tl.arange(0, SLOTS)
    inside = e < experts
    x = tl.load(logits + token * experts + e, mask=inside, other=0.0).to(tl.float32)
    valid = inside & (x == x)
    x = tl.where(valid, x, -float("inf"))
    p = x
    whole = 1.0
    if score == 0:
        highest = tl.max(x, 0)
        highest = tl.where(highest == -float("inf"), 0.0, highest)
        p = tl.where(x == highest, 1.0, tl.exp(tl.where(x == highest, 0.0, x - highest)))
        whole = tl.sum(tl.where(valid, p, 0.0), 0)
    if score == 1:
        p = tl.div_rn(tl.full((EXPERTS,), 1.0, tl.float32), 1.0 + tl.exp(-x))
    if score == 2:
        p = sqrt_softplus(x)
    p = tl.where(valid, p, 0.0)

    key = x
    if has_beta != 0:
        key = p + tl.load(beta + e, mask=inside, other=0.0) * whole
    key = tl.where(key == 0.0, 0.0, key)  # -0 ties with 0
    # Floats in the order of integers, and below them the id, the lower the better: one maximum finds both.
    bits = key.to(tl.int32, bitcast=True)
    order = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64)
    rank = tl.where(valid, (order << 32) + (LAST_ID - e).to(tl.int64), NEVER)

    picks = tl.full((SLOTS,), -1, tl.int32)
    mass = tl.zeros((SLOTS,), tl.float32)
    total = 0.0
    found = 0
    for i in range(0, k):
        best = tl.max(rank, 0)
        is_expert = best > NEVER
        pick = tl.where(is_expert, LAST_ID - (best & LAST_ID).to(tl.int32), -1)
        its_p = tl.sum(tl.where(e == pick, p, 0.0), 0)
        picks = tl.where(slot == i, pick, picks)
        mass = tl.where(slot == i, its_p, mass)
        total += its_p
        found += is_expert.to(tl.int32)
        rank = tl.where(e == pick, NEVER, rank)

    unit = tl.where(divide != 0, total, whole)
    share = tl.where(divide != 0, 1.0 / tl.maximum(found, 1).to(tl.float32), 0.0)
    mass = scale * tl.where(unit > 0.0, tl.div_rn(mass, tl.where(unit > 0.0, unit, 1.0)), share)
    at = token * slots + slot
    tl.store(expert + at, picks, mask=slot < slots)
    tl.store(weight + at, tl.where(picks >= 0, mass, 0.0), mask=slot < slots)


@triton.jit
def columns_mod_2(x):
    """The even columns of a tile, and the odd ones."""
    return tl.split(tl.reshape(x, (x.shape[0], x.shape[1] // 2, 2)))


@triton.jit
def columns_mod_4(x):
    even, odd = columns_mod_2(x)
    x0, x2 = columns_mod_2(even)
    x1, x3 = columns_mod_2(odd)
    return x0, x1, x2, x3


@triton.jit
def columns_mod_8(x):
    """Eight tiles; tile j holds the columns j, j + 8, ..."""
    y0, y1, y2, y3 = columns_mod_4(x)
    x0, x4 = columns_mod_2(y0)
    x1, x5 = columns_mod_2(y1)
    x2, x6 = columns_mod_2(y2)
    x3, x7 = columns_mod_2(y3)
    return x0, x1, x2, x3, x4, x5, x6, x7


@triton.jit
def differences(q, zero, TYPE: tl.constexpr):
    """q - zero, for q and zero in 0..15, in a 16-bit type. A number whose last digit is worth 1 has q in its lowest
    bits: no conversion of integers, which is a quarter as fast."""
    ONES: tl.constexpr = 0x4300 if TYPE == tl.bfloat16 else 0x6400  # 128 or 1024
    return (q | ONES).to(tl.uint16).to(TYPE, bitcast=True) - (zero | ONES).to(tl.uint16).to(TYPE, bitcast=True)


@triton.jit
def fused_dequant_linear_kernel(x, words, scales, zeros, bias, out, tokens, outputs, inputs, has_zeros, has_bias,
                                epilogue, out_type, GROUP: tl.constexpr, TOKENS: tl.constexpr, OUTPUTS: tl.constexpr):
    """A tile [TOKENS, OUTPUTS] of x W^T + bias, W int4 as in docs/adr/0004-int4-layout.md.

    x [tokens, inputs] bf16 or f16; bias [outputs] f32, read if has_bias; zeros read if has_zeros; out [tokens, outputs]
    of out_type: 0 f32, 1 bf16, 2 f16. epilogue: 0 none, 1 ReLU, 2 GELU (tanh form). A group of inputs at a time: its
    words become dense tiles of integers that the tensor cores multiply, then its sum is scaled
    (docs/adr/0006-int4-arithmetic.md).
    """
    TYPE: tl.constexpr = x.dtype.element_ty
    WORDS: tl.constexpr = GROUP // 8
    PARTS: tl.constexpr = GROUP // 16  # of 16 inputs each, the least that tensor cores take
    n = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    m = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    panel = (n // 16).to(tl.int64)
    lane = n % 16
    live = panel < (outputs + 15) // 16  # a panel is whole, and padded with zeros
    row = m[:, None] < tokens
    x_at = x + m[:, None].to(tl.int64) * inputs + tl.arange(0, GROUP)[None, :]
    word_at = words + (panel * (inputs * 2) + lane)[None, :] + tl.arange(0, WORDS)[:, None] * 16
    cell = panel * (inputs // GROUP * 16) + lane
    total = tl.zeros((TOKENS, OUTPUTS), dtype=tl.float32)
    if has_bias != 0:
        total += tl.load(bias + n, mask=n < outputs, other=0.0)[None, :]
    for _ in range(0, inputs, GROUP):
        packed = tl.load(word_at, mask=live[None, :], other=0)
        columns = tl.load(x_at, mask=row, other=0.0)
        # Part j takes the nibbles j, j + PARTS, ... of each word.
        if PARTS == 8:
            parts = columns_mod_8(columns)
        else:
            shift = tl.arange(0, 8 // PARTS) * (4 * PARTS)
            packed = tl.reshape(packed[:, None, :] >> shift[None, :, None], (16, OUTPUTS))
            if PARTS == 4:
                parts = columns_mod_4(columns)
            else:
                parts = columns_mod_2(columns)
        scale = tl.load(scales + cell, mask=live, other=0.0)
        zero = tl.load(zeros + cell, mask=live & (has_zeros != 0), other=8).to(tl.int32)
        group = tl.zeros((TOKENS, OUTPUTS), dtype=tl.float32)
        for j in tl.static_range(PARTS):
            group = tl.dot(parts[j], differences((packed >> (4 * j)) & 15, zero[None, :], TYPE), group)
        total += group * scale[None, :]
        x_at += GROUP
        word_at += WORDS * 16
        cell += 16
    if epilogue == 1:
        total = tl.where(total > 0.0, total, 0.0)
    if epilogue == 2:
        total = total / (1.0 + tl.exp(-1.5957691216 * (total + 0.044715 * total * total * total)))
    at = m[:, None].to(tl.int64) * outputs + n[None, :]
    keep = row & (n[None, :] < outputs)
    if out_type == 0:
        tl.store(out.to(tl.pointer_type(tl.float32)) + at, total, mask=keep)
    if out_type == 1:
        tl.store(out.to(tl.pointer_type(tl.bfloat16)) + at, total.to(tl.bfloat16), mask=keep)
    if out_type == 2:
        tl.store(out.to(tl.pointer_type(tl.float16)) + at, total.to(tl.float16), mask=keep)
