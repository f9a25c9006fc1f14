#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels, run by Triton's interpreter on the CPU, give what the C++ ops of the CPU give.

The interpreter has no bf16 product; that type, and the compiled kernels, are tested on a GPU (kernels_gpu_tests).
"""
import json
import os
import pathlib
import subprocess
import sys
import unittest

os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are defined
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python" / "thermoe"))
sys.path.append(os.environ.get("THERMOE_TRITON") or "no Triton")
try:
    import numpy as np
    import triton_kernels
    MISSING = None
except ImportError as error:
    MISSING = f"{error}; tools/setup --triton installs Triton and NumPy"

REFERENCE = os.environ.get("THERMOE_CPU_REFERENCE", "")
NO_REFERENCE = "THERMOE_CPU_REFERENCE names no program; build the target kernels_cpu_reference"
F32, BF16, F16 = range(3)
NONE, RELU, GELU = range(3)


class Tensor:
    """As much of a tensor as the interpreter asks for, around an array in the host's memory."""

    def __init__(self, array, dtype=None):
        self.array = array
        self.dtype = dtype or {"float32": "fp32", "float16": "fp16", "int32": "i32", "uint8": "u8",
                               "int8": "i8"}[str(array.dtype)]

    def data_ptr(self):
        return self.array.ctypes.data

    def untyped_storage(self):
        return self

    cpu = untyped_storage

    def new_empty(self, *_, **__):
        return Tensor(self.array, self.dtype)

    def set_(self, storage, *_):
        self.array = storage.array

    def storage_offset(self):
        return 0

    size = stride = storage_offset

    def copy_(self, other):
        assert other.array is self.array


def reference(shape, *arrays):
    done = subprocess.run([REFERENCE], input=json.dumps(shape).encode() + b"\n" + b"".join(a.tobytes() for a in arrays),
                          capture_output=True, check=True)
    return done.stdout


def route_by_triton(shape, logits, beta):
    expert = np.full((shape["tokens"], shape["slots"]), -77, np.int32)
    weight = np.full(expert.shape, np.nan, np.float32)
    values = Tensor(logits, "bf16" if shape["type"] == BF16 else None)
    triton_kernels.custom_topk_kernel[(shape["tokens"],)](
        values, Tensor(beta), Tensor(expert), Tensor(weight), shape["experts"], shape["k"], shape["slots"],
        shape["score"], int(shape["has_beta"]), int(shape["divide"]), shape["scale"],
        EXPERTS=128 if shape["experts"] <= 128 else 256, SLOTS=32)
    return expert, weight


@unittest.skipIf(MISSING, MISSING)
@unittest.skipUnless(os.path.exists(REFERENCE), NO_REFERENCE)
class CustomTopk(unittest.TestCase):
    def expect_same(self, logits, kind=F32, beta=None, **shape):
        tokens, experts = logits.shape
        shape = {"op": "topk_route", "tokens": tokens, "experts": experts, "k": 4, "type": kind, "score": 0,
                 "divide": True, "scale": 1.0, "has_beta": beta is not None, **shape}
        shape.setdefault("slots", shape["k"])
        if kind == F16:
            logits = logits.astype(np.float16)
        if kind == BF16:
            logits = (logits.view(np.uint32) >> 16).astype(np.uint16)
        beta = np.zeros(0, np.float32) if beta is None else beta
        wanted = reference(shape, logits, beta)
        half = len(wanted) // 2
        with np.errstate(all="ignore"):  # infinities and NaN are meant
            expert, weight = route_by_triton(shape, logits, beta)
        np.testing.assert_array_equal(expert.ravel(), np.frombuffer(wanted[:half], np.int32), str(shape))
        np.testing.assert_allclose(weight.ravel(), np.frombuffer(wanted[half:], np.float32), rtol=2e-6, atol=2e-6)

    def test_routers_of_every_score_type_and_denominator(self):
        random = np.random.default_rng(1)
        for turn in range(36):
            experts = (8, 60, 128, 160)[turn % 4]
            logits = random.normal(0, 2, (5, experts)).astype(np.float32)
            beta = random.normal(0, 0.1, experts).astype(np.float32) if turn // 3 % 2 else None
            self.expect_same(logits, (F32, BF16, F16)[turn // 3 % 3], beta, k=1 + turn % 8, score=turn % 3,
                             divide=turn % 5 > 0, scale=1.0 if turn % 2 else 2.5)

    def test_ties_go_to_the_lowest_id(self):
        self.expect_same(np.full((1, 40), 0.5, np.float32))
        self.expect_same(np.array([[-1, -0.0, 0.0, -0.0, -2]], np.float32))
        self.expect_same(np.round(np.random.default_rng(2).normal(0, 1, (9, 60))).astype(np.float32), k=8)

    def test_nan_is_never_picked_and_its_slots_stay_empty(self):
        nan = np.nan
        self.expect_same(np.array([[1, nan, 3, nan, nan], [nan] * 5, [5, 4, nan, 2, 1]], np.float32))

    def test_infinities(self):
        inf = np.inf
        for score in range(3):
            for divide in (True, False):
                self.expect_same(np.array([[5, inf, 7, inf, 2], [-inf] * 5, [-inf, 1, -inf, -inf, -inf]], np.float32),
                                 score=score, divide=divide)

    def test_further_slots_are_empty(self):
        self.expect_same(np.arange(16, dtype=np.float32).reshape(2, 8), k=3, slots=6)


@unittest.skipIf(MISSING, MISSING)
@unittest.skipUnless(os.path.exists(REFERENCE), NO_REFERENCE)
class FusedDequantLinear(unittest.TestCase):
    def expect_same(self, tokens, outputs, inputs, group, zeros=False, bias=False, epilogue=NONE, tile=16):
        random = np.random.default_rng(tokens + outputs + group)
        panels = -(-outputs // 16)
        # The layout of random bits is any layout.
        words = random.integers(-2**31, 2**31, (panels, inputs // 8, 16), dtype=np.int64).astype(np.int32)
        scales = random.uniform(0.01, 0.1, (panels, inputs // group, 16)).astype(np.float32)
        zero_points = random.integers(0, 16, scales.shape if zeros else 0).astype(np.uint8)
        biases = random.normal(0, 1, outputs if bias else 0).astype(np.float32)
        x = random.normal(0, 1, (tokens, inputs)).astype(np.float16)
        shape = {"op": "fused_dequant_linear", "tokens": tokens, "outputs": outputs, "inputs": inputs, "group": group,
                 "has_zeros": zeros, "has_bias": bias, "epilogue": epilogue}
        wanted = np.frombuffer(reference(shape, x.astype(np.float32), words, scales, zero_points, biases), np.float32)
        out = np.full((tokens, outputs), np.nan, np.float32)
        triton_kernels.fused_dequant_linear_kernel[(-(-outputs // 64), -(-tokens // tile))](
            Tensor(x), Tensor(words), Tensor(scales), Tensor(zero_points), Tensor(biases), Tensor(out.view(np.int8)),
            tokens, outputs, inputs, int(zeros), int(bias), epilogue, F32, GROUP=group, TOKENS=tile, OUTPUTS=64)
        np.testing.assert_allclose(out.ravel(), wanted, rtol=1e-5, atol=1e-4, err_msg=str(shape))

    def test_every_format_and_epilogue(self):
        for group in (32, 64, 128):
            for zeros in (False, True):
                for epilogue in (NONE, RELU, GELU):
                    self.expect_same(5, 40, 256, group, zeros, bias=True, epilogue=epilogue)

    def test_ragged_sizes(self):
        for tokens in (1, 16, 17, 33):
            for outputs in (1, 15, 17, 100):
                self.expect_same(tokens, outputs, 64, 32, bias=outputs == 17, tile=16 if tokens <= 16 else 32)


if __name__ == "__main__":
    unittest.main()
