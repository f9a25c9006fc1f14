// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A fake of the NVIDIA driver's libnvidia-ml.so.1, for tests: a shared library of our own that
/// exports the same symbols and plays the GPUs that a script describes. Every call reads the script
/// anew from the file that the environment variable THERMOE_FAKE_NVML names, so a test plays a
/// story by replacing the file (write another file beside it, then rename it over: no call sees
/// half a script). Without the variable, or without the file, it plays one healthy GPU. It is
/// nothing to measure with: every value is made up.
///
/// Tests load it by path, THERMOE_FAKE_NVML_LIBRARY (thermoe_use_fake_nvml() in CMake defines it);
/// programs are given that path with --nvml-library. THERMOE_FAKE_NVML_OLD_LIBRARY is the same as
/// an old driver would be: without nvmlDeviceGetFieldValues, nvmlDeviceGetTotalEnergyConsumption,
/// nvmlDeviceGetComputeRunningProcesses_v3 and nvmlDeviceGetCurrentClocksEventReasons (it has
/// ...ClocksThrottleReasons).
///
/// A script is lines of `key = value`; `#` begins a comment; unknown keys are errors of the test:
/// the call prints them to stderr and aborts.
///
///     driver = 580.65.06            # also: nvml = 13.580.65.06, cuda = 13000
///     init = driver_not_loaded      # what nvmlInit_v2 answers (a code, below; default: success)
///     gpus = 2                      # default 1; 0 is a driver without a GPU
///     gpu.power_average = 350       # of every GPU
///     gpu1.power_average = 400+5    # of GPU 1; a line for one GPU wins over one for all
///     gpu1.state = lost             # that GPU's calls answer this code; and from then on, until
///                                   # the next nvmlInit_v2, whatever the script says (as the
///                                   # driver does)
///     fail.nvmlDeviceGetTemperature = unknown    # every call of a function answers this code
///     hang.nvmlDeviceGetFieldValues = 2.5        # every call of a function takes so many seconds,
///                                   # or less: it ends soon after the line is gone from the script
///
/// Codes: success, uninitialized, invalid_argument, not_supported, no_permission, not_found,
/// insufficient_size, driver_not_loaded, timeout, lost, reset_required, library_mismatch, unknown;
/// or a number.
///
/// Keys of a GPU (with their defaults): name (Fake H100), uuid (GPU-fake-0, GPU-fake-1, ...),
/// temperature (50, degrees Celsius), memory_temperature (60), power_average (300, W),
/// power_instant (305), power_usage (300), power_limit (700), power_limit_min (200),
/// power_limit_max (700), energy (1000+30, J), gpu_utilisation (75, percent), memory_utilisation
/// (40), sm_clock (1980, MHz), memory_clock (2619), throttle_reasons (0, a bit mask),
/// memory_total (81559, MiB), compute_capability (9.0), state (success), processes (none; those
/// with a context on it, `pid name MiB` with commas between them: 4242 trainer 1024, 77 server -1,
/// where -1 is NVML's "not available"; a code is the list's answer).
///
/// Values of readings: a number (a sensor that stalls), a code (that reading's answer), `A+B` (A
/// when first read, B more each time it is read), `A~B` (a wave of 20 reads: A, B at its crest,
/// back).
///
/// Not thread-safe beyond what NVML's callers need here: calls may come from any thread, the
/// environment variable must not change while one is under way.
extern "C" {

/// How often NVML's function `name` was called since the start or the last reset.
unsigned long thermoe_fake_nvml_calls(const char* name);
/// Forgets counts, waves, lost GPUs and initialisations.
void thermoe_fake_nvml_reset();

}  // extern "C"
