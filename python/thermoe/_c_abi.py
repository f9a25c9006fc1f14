# SPDX-License-Identifier: Apache-2.0
"""src/engine/thermoe.h by ctypes: its structs, its constants, and the library behind it."""
import ctypes
import functools
import json
import os
import pathlib
from typing import Any, ClassVar, TypeVar

from ._libraries import library_path

OK, BAD_INPUT, UNAVAILABLE, BUSY, FAILED = range(5)
ABI_VERSION = 1

# thermoe_decision.flags
CHANGED, SAFE, EXPIRES, SAMPLE_WANTED, CALIBRATING = 1, 2, 4, 8, 16
# thermoe_step.flags, .logits_type, .known
MIXED = 1
LOGIT_TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}
KNOWS_SERVING, KNOWS_LOSS = 1, 2


class ThermoeError(RuntimeError):
    """What the library refused or could not do; the message names the file, key or value and the remedy."""


class BadInputError(ThermoeError, ValueError):
    """The caller's: a file, a key, a shape, a value."""


class UnavailableError(ThermoeError):
    """A device, driver or library that was asked for is not there."""


class BusyError(ThermoeError):
    """The same function is under way in another thread, or a buffer is another controller's."""


_ERRORS = {BAD_INPUT: BadInputError, UNAVAILABLE: UnavailableError, BUSY: BusyError}


class _Sized(ctypes.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **values: Any) -> None:
        super().__init__(size=ctypes.sizeof(type(self)), **values)


class DecisionStruct(_Sized):
    _fields_ = [("size", ctypes.c_size_t), ("version", ctypes.c_uint64), ("flags", ctypes.c_uint64),
                ("plan", ctypes.c_void_p), ("plan_bytes", ctypes.c_size_t),
                ("active", ctypes.c_void_p), ("active_bytes", ctypes.c_size_t),
                ("step_period_s", ctypes.c_double), ("valid_for_s", ctypes.c_double)]


class StepStruct(_Sized):
    _fields_ = [("size", ctypes.c_size_t), ("version", ctypes.c_uint64), ("flags", ctypes.c_uint64),
                ("step_time_s", ctypes.c_double), ("step_period_s", ctypes.c_double),
                ("layers", ctypes.c_int32), ("experts", ctypes.c_int32),
                ("tokens", ctypes.c_int32), ("rows", ctypes.c_int32),
                ("counts", ctypes.c_void_p), ("logits", ctypes.c_void_p),
                ("logits_type", ctypes.c_int32), ("logit_rows", ctypes.c_int32),
                ("running", ctypes.c_int32), ("waiting", ctypes.c_int32),
                ("arrived", ctypes.c_int32), ("finished", ctypes.c_int32),
                ("quality_loss", ctypes.c_double), ("known", ctypes.c_uint64)]


# thermoe_reading's numbers, and the bit of `known` that each has
READING = {"power_w": 1, "power_average_w": 2, "temperature_c": 4, "memory_temperature_c": 8}


class ReadingStruct(_Sized):
    _fields_ = [("size", ctypes.c_size_t), ("known", ctypes.c_uint64), *((name, ctypes.c_double) for name in READING)]


# thermoe_state's numbers in order, and the bits of `known` of those that may be absent
STATE = {"lambda": 0, "step_period_s": 0, "predicted_kept_mass": 0, "predicted_active": 0, "predicted_power_w": 16,
         "predicted_temperature_c": 32, "predicted_step_time_s": 64, **READING, "step_time_s": 128,
         "measured_step_period_s": 128, "active_experts": 256, "quality_loss": 512}


class StateStruct(_Sized):
    _fields_ = [("size", ctypes.c_size_t), ("known", ctypes.c_uint64), ("ticks", ctypes.c_uint64),
                ("steps", ctypes.c_uint64), ("tokens", ctypes.c_uint64), ("skipped", ctypes.c_uint64),
                ("plan_kind", ctypes.c_int32), ("saturated", ctypes.c_int32), ("simulated", ctypes.c_int32),
                ("reserved", ctypes.c_int32), *((name, ctypes.c_double) for name in STATE),
                ("reason", ctypes.c_char * 256)]


class CostStruct(_Sized):
    _fields_ = [("size", ctypes.c_size_t), ("latency_s", ctypes.c_double), ("energy_j", ctypes.c_double),
                ("basis", ctypes.c_int32), ("reserved", ctypes.c_int32)]


def check(status: int) -> None:
    """Raises what a status stands for, with the library's sentence."""
    if status != OK:
        raise _ERRORS.get(status, ThermoeError)(library().thermoe_last_error().decode(errors="replace"))


def find_library() -> str:
    """libthermoe.so: THERMOE_LIBRARY's, or the package's own. Raises UnavailableError naming what is missing."""
    named = os.environ.get("THERMOE_LIBRARY")
    if named and not pathlib.Path(named).is_file():
        raise UnavailableError(f"THERMOE_LIBRARY is {named}, and no such file exists")
    try:
        return named or library_path("thermoe")
    except ImportError as error:
        raise UnavailableError(f"{error}. THERMOE_LIBRARY names a library that lies elsewhere") from error


@functools.cache
def library() -> ctypes.CDLL:
    """The library, loaded once. Raises UnavailableError where it cannot be loaded or is older than this package."""
    path = find_library()
    try:
        lib = ctypes.CDLL(path)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be loaded: {error}") from error
    handle, text, texts = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)
    lib.thermoe_version.restype = lib.thermoe_last_error.restype = text
    lib.thermoe_abi_version.restype = ctypes.c_uint32
    for name, arguments in {
        "thermoe_open": [text, ctypes.POINTER(handle)],
        "thermoe_acquire": [handle, ctypes.POINTER(DecisionStruct)],
        "thermoe_observe": [handle, ctypes.POINTER(StepStruct)],
        "thermoe_set_reading": [handle, ctypes.POINTER(ReadingStruct)],
        "thermoe_read_state": [handle, ctypes.POINTER(StateStruct)],
        "thermoe_advance": [handle, ctypes.c_double],
        "thermoe_sensors_open": [text, ctypes.POINTER(handle)],
        "thermoe_sensors_read": [handle, texts],
        "thermoe_window_begin": [handle],
        "thermoe_window_end": [handle, text, ctypes.POINTER(ctypes.c_double), texts],
        "thermoe_costs_open": [text, ctypes.POINTER(handle)],
        "thermoe_costs_describe": [handle, texts],
        "thermoe_costs_layer": [handle, ctypes.c_int32 * 4, ctypes.c_int32, text, ctypes.c_double, ctypes.c_double,
                                ctypes.POINTER(CostStruct)],
    }.items():
        getattr(lib, name).argtypes = arguments
        getattr(lib, name).restype = ctypes.c_int32
    for close in (lib.thermoe_close, lib.thermoe_sensors_close, lib.thermoe_costs_close):
        close.argtypes, close.restype = [handle], None
    if lib.thermoe_abi_version() < ABI_VERSION:
        raise UnavailableError(f"{path} has version {lib.thermoe_abi_version()} of the C ABI, this package needs "
                               f"{ABI_VERSION}: build both from one source")
    return lib


_Self = TypeVar("_Self", bound="Handle")


class Handle:
    """What thermoe_<kind>open opened. `close`, the end of a `with` or the last reference to it closes it."""
    _kind: ClassVar[str]
    _handle = ctypes.c_void_p()  # none; __del__ looks, however early __init__ failed

    def __init__(self, configuration: str) -> None:
        self._lib = library()
        handle = ctypes.c_void_p()
        check(getattr(self._lib, f"thermoe_{self._kind}open")(configuration.encode(), ctypes.byref(handle)))
        self._handle = handle

    @property
    def handle(self) -> ctypes.c_void_p:
        """What the library's functions take. Raises BadInputError once it is closed."""
        if not self._handle:
            raise BadInputError(f"this {type(self).__name__} is closed")
        return self._handle

    def close(self) -> None:
        """Ends it. A second time there is nothing left to do."""
        if self._handle:
            getattr(self._lib, f"thermoe_{self._kind}close")(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def read_json(function: Any, *arguments: Any) -> dict[str, Any]:
    """What a function says whose last argument takes a text."""
    text = ctypes.c_char_p()
    check(function(*arguments, ctypes.byref(text)))
    return dict(json.loads(text.value or b"{}"))
