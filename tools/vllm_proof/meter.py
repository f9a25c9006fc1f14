#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a GPU's energy counter, power and temperature, by NVML alone, until its standard input ends: lines of CSV.

    meter.py OUT.csv --every 0.02

A process of its own, so that a read of the counter, which takes milliseconds, holds nobody up. `Meter` runs it and
answers what was drawn between two times of time.monotonic().
"""
import argparse
import bisect
import csv
import ctypes
import pathlib
import subprocess
import sys
import threading
import time

COLUMNS = ("time_s", "energy_j", "power_1s_w", "temperature_c", "sm_mhz", "throttle")
_STARTS_WITHIN_S = 20.0


class NvmlGpu:
    """What the driver says of a GPU; None where it says nothing."""

    def __init__(self, index=0, library="libnvidia-ml.so.1"):
        self._nvml, self._gpu = ctypes.CDLL(library), ctypes.c_void_p()
        for code in (self._nvml.nvmlInit_v2(), self._nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self._gpu))):
            if code != 0:
                raise OSError(f"NVML answers with error {code} for GPU {index}")

    def _number(self, function, kind, *arguments):
        value = kind()
        call = getattr(self._nvml, function, None)
        return None if call is None or call(self._gpu, *arguments, ctypes.byref(value)) != 0 else value.value

    def _text(self, call, *owner):
        text = ctypes.create_string_buffer(96)
        return text.value.decode() if call(*owner, text, 96) == 0 else None

    def joules(self):
        value = self._number("nvmlDeviceGetTotalEnergyConsumption", ctypes.c_ulonglong)
        return None if value is None else value / 1e3

    def mean_watts_of_a_second(self):
        value = self._number("nvmlDeviceGetPowerUsage", ctypes.c_uint)
        return None if value is None else value / 1e3

    def celsius(self):
        return self._number("nvmlDeviceGetTemperature", ctypes.c_uint, 0)

    def sm_mhz(self):
        return self._number("nvmlDeviceGetClockInfo", ctypes.c_uint, 1)

    def throttle_reasons(self):
        return self._number("nvmlDeviceGetCurrentClocksThrottleReasons", ctypes.c_ulonglong)

    def facts(self):
        return {"device": self._text(self._nvml.nvmlDeviceGetName, self._gpu),
                "uuid": self._text(self._nvml.nvmlDeviceGetUUID, self._gpu),
                "driver": self._text(self._nvml.nvmlSystemGetDriverVersion),
                "power_limit_w": (self._number("nvmlDeviceGetEnforcedPowerLimit", ctypes.c_uint) or 0) / 1e3 or None}


class Readings:
    """Rows of a meter; times are time.monotonic()'s."""

    def __init__(self, rows):
        """rows: (time, joules, mean watts of a second, °C, SM MHz, throttle reasons), ascending; None where absent."""
        self.rows = list(rows)
        self._times, self._joules = [], []
        for time_s, joules, *_ in self.rows:
            if joules is not None and (not self._joules or joules > self._joules[-1]):  # it stands still in between
                self._times.append(time_s)
                self._joules.append(joules)

    def joules(self, start, end):
        """Between two times; None where the counter does not reach from one to the other."""
        if len(self._times) < 2 or start < self._times[0] or end > self._times[-1] or end <= start:
            return None
        return self._at(end) - self._at(start)

    def watts(self, start, end):
        joules = self.joules(start, end)
        return None if joules is None else joules / (end - start)

    def of(self, column, start, end):
        """Known values of a column after `start`, up to `end`."""
        place = COLUMNS.index(column)
        return [row[place] for row in self.rows if start < row[0] <= end and row[place] is not None]

    def _at(self, when):
        after = max(1, min(bisect.bisect_left(self._times, when), len(self._times) - 1))
        t0, t1 = self._times[after - 1:after + 1]
        e0, e1 = self._joules[after - 1:after + 1]
        return e0 + (e1 - e0) * (when - t0) / (t1 - t0)


def read_csv(path):
    """Rows of COLUMNS; a torn last line is left out."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[0] != COLUMNS[0]]
    return Readings(tuple(float(cell) if cell else None for cell in row) for row in rows)


class Meter:
    """The process, and what it has written."""

    def __init__(self, path, gpu=0, every_s=0.02):
        self.path = pathlib.Path(path)
        self._process = subprocess.Popen([sys.executable, __file__, str(path), "--every", str(every_s), "--gpu", str(gpu)],
                                         stdin=subprocess.PIPE, start_new_session=True)
        ends = time.monotonic() + _STARTS_WITHIN_S
        while not self.path.exists() or self.path.stat().st_size < 200:
            if self._process.poll() is not None or time.monotonic() > ends:
                raise OSError(f"the meter reads nothing: is there an NVML, and a GPU {gpu}?")
            time.sleep(0.05)

    def readings(self):
        return read_csv(self.path)

    def close(self):
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(10)


def _run(path, every_s, gpu, ended):
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        slow, number = (None,) * 4, 0
        while not ended.is_set():
            before = time.monotonic()
            joules = gpu.joules()
            after = time.monotonic()
            if number % 5 == 0:
                slow = (gpu.mean_watts_of_a_second(), gpu.celsius(), gpu.sm_mhz(), gpu.throttle_reasons())
            values = (joules, *slow)
            rows.writerow([f"{(before + after) / 2:.6f}", *("" if value is None else value for value in values)])
            file.flush()
            number += 1
            ended.wait(max(0.0, before + every_s - time.monotonic()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT.csv")
    parser.add_argument("--every", type=float, default=0.02, metavar="S", help="(%(default)s)")
    parser.add_argument("--gpu", type=int, default=0, metavar="INDEX", help="(%(default)s)")
    parser.add_argument("--library", default="libnvidia-ml.so.1", help="NVML (%(default)s)")
    options = parser.parse_args()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    _run(options.out, options.every, NvmlGpu(options.gpu, options.library), ended)


if __name__ == "__main__":
    main()
