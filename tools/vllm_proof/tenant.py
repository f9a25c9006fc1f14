#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Another process on the GPU: bursts of bf16 matrix products, while its standard input's last line says so. Needs PyTorch.

    tenant.py --share 0.1        lines: on, off; ends with its input

What it asks for is work, not time: in each period as many products as take the share of it where nobody else is on the
GPU. Beside others they take longer, and a backlog of more than a period is dropped. `Tenant` runs it.
"""
import argparse
import subprocess
import sys
import threading
import time

PERIOD_S = 0.010
SIDE = 2048  # of a product: some 30 us on an H100


class Tenant:
    """The process. It times its products when it starts, so it starts before others use the GPU."""

    def __init__(self, share):
        self._process = subprocess.Popen([sys.executable, __file__, "--share", str(share)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.works = False

    def wait(self):
        """Until it is there, and rests."""
        if self._process.stdout.readline().strip() != "ready":
            raise OSError("the tenant did not start: does this Python have PyTorch, and the machine a GPU?")

    def set(self, works):
        if works != self.works:
            self.works = works
            self._process.stdin.write("on\n" if works else "off\n")
            self._process.stdin.flush()

    def close(self):
        """Does not rely on its input's end: whatever the engine has forked may hold the other side."""
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(10)


class Switch:
    """What the input's last line says."""

    def __init__(self, lines):
        self.works = threading.Event()
        self.ended = threading.Event()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines):
        for line in lines:
            if line.strip() == "on":
                self.works.set()
            else:
                self.works.clear()
        self.works.clear()
        self.ended.set()


def work(switch, burst, clock=time.monotonic, sleep=time.sleep):
    """Calls `burst()` once a period while it is to work. Returns bursts done and dropped."""
    done = dropped = 0
    due = clock()
    while not switch.ended.is_set():
        if not switch.works.is_set():
            switch.works.wait(0.05)
            due = clock()
            continue
        burst()
        done += 1
        due += PERIOD_S
        late = clock() - due
        if late > PERIOD_S:
            skipped = int(late / PERIOD_S)
            dropped += skipped
            due += skipped * PERIOD_S
        sleep(max(0.0, due - clock()))
    return done, dropped


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.1, help="of the time that it fills alone (%(default)s)")
    options = parser.parse_args()
    if not 0 < options.share <= 1:
        parser.error(f"--share {options.share}: expected more than 0, 1 at most")
    import torch

    a = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
    out = torch.empty_like(a)

    def products(count):
        for _ in range(count):
            torch.mm(a, a, out=out)
        torch.cuda.synchronize()

    products(200)  # clocks are up then
    begun = time.monotonic()
    products(200)
    unit_s = (time.monotonic() - begun) / 200
    count = max(1, round(options.share * PERIOD_S / unit_s))
    print("ready", flush=True)
    done, dropped = work(Switch(sys.stdin), lambda: products(count))
    print(f"tenant: {done} bursts of {count} products of {1e6 * unit_s:.0f} us, {dropped} dropped", file=sys.stderr)


if __name__ == "__main__":
    main()
