#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A load for trying `thermoe measure` and `thermoe monitor` on a GPU: bf16 matrix products for some
seconds. Prints their number, and what NVML's energy counter grew by around them. Needs PyTorch."""

import argparse
import ctypes
import time

import torch

SIDE = 8192
AT_ONCE = 20


class EnergyCounter:
    """Joules since the driver was loaded, read by NVML itself: a second opinion."""

    def __init__(self, index):
        self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
        self.gpu = ctypes.c_void_p()
        self.check(self.nvml.nvmlInit_v2())
        self.check(self.nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self.gpu)))

    @staticmethod
    def check(code):
        if code != 0:
            raise SystemExit("gpu_load: NVML answers with error {}".format(code))

    def joules(self):
        millijoules = ctypes.c_ulonglong()
        self.check(self.nvml.nvmlDeviceGetTotalEnergyConsumption(
            self.gpu, ctypes.byref(millijoules)))
        return millijoules.value / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    seconds = parser.parse_args().seconds
    counter = EnergyCounter(0)
    a = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
    torch.cuda.synchronize()
    started, joules, products = time.monotonic(), counter.joules(), 0
    while time.monotonic() - started < seconds:
        for _ in range(AT_ONCE):
            a @ a
        torch.cuda.synchronize()
        products += AT_ONCE
    joules = counter.joules() - joules
    print("{} products, {:.1f} J in {:.3f} s".format(products, joules,
                                                      time.monotonic() - started), flush=True)


if __name__ == "__main__":
    main()
