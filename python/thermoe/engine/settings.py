# SPDX-License-Identifier: Apache-2.0
"""What is asked of an engine: one JSON or YAML file, checked whole before its model is loaded (docs/engines.md)."""
from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ..routing import Denominator

_LARGEST_FILE = 16 << 20  # bytes: a model's selection bias is the most that a file may hold, and far smaller
LARGEST_PRICE = 3.4e38  # of a plan's float32


class SettingsError(ValueError):
    """A settings file that cannot be used, naming the file, the key and what would be right."""


@dataclasses.dataclass(frozen=True)
class PlanSettings:
    """A plan that stays, instead of a controller."""
    price: float  # what a decode batch would lose without an expert, below which it does not run
    k_min: int = 1  # each token's k_min best run in any case


@dataclasses.dataclass(frozen=True)
class Settings:
    """The file's keys; what is absent is None, and the controller's default holds."""
    path: str
    power_w: float | None = None
    temperature_c: float | None = None
    time_per_token_ms: float | None = None
    max_quality_loss: float | None = None
    objective: Literal["energy", "throughput"] | None = None
    step_period_ms: float | None = None  # at which decode steps start; None: the controller finds it
    prefill_token_limit: int = 0  # steps that read prompts, of more tokens than this, are not priced
    denominator: Denominator = "reference"  # of the weights of a token's picks where others were dropped
    cost_model: str | None = None  # an absolute path; None: the package's own
    costed_as: str | Mapping[str, Any] | None = None
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # further keys of the controller
    plan: PlanSettings | None = None


def read_settings(path: str | os.PathLike[str]) -> Settings:
    """Reads and checks a file. Raises SettingsError."""
    file = pathlib.Path(path).absolute()
    given = _load(file)
    known = [field.name for field in dataclasses.fields(Settings) if field.name != "path"]
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise SettingsError(f"{file}: unknown key {key!r}{f', did you mean {near[0]!r}?' if near else ''} "
                                f"Known are {', '.join(known)}")
    keys = _Keys(file, given)
    settings = Settings(
        path=str(file), power_w=keys.positive("power_w"), temperature_c=keys.positive("temperature_c"),
        time_per_token_ms=keys.positive("time_per_token_ms"), max_quality_loss=keys.positive("max_quality_loss"),
        objective=keys.one_of("objective", ("energy", "throughput")), step_period_ms=keys.positive("step_period_ms"),
        prefill_token_limit=keys.whole("prefill_token_limit", 0) or 0,
        denominator=keys.one_of("denominator", ("picked", "reference")) or "reference",
        cost_model=keys.existing_file("cost_model"), costed_as=keys.costed_as(), config=keys.config(), plan=keys.plan())
    _require_something(settings)
    return settings


def _load(file: pathlib.Path) -> Mapping[str, Any]:
    is_yaml = file.suffix in (".yaml", ".yml")
    try:
        text = _text(file)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error
    try:
        given = _from_yaml(text) if is_yaml else json.loads(text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file} is no {'YAML' if is_yaml else 'JSON'}: {error}") from error
    if not isinstance(given, dict):
        raise SettingsError(f"{file}: expected keys, as {{\"power_w\": 350}}; it is {type(given).__name__}")
    return given


def _text(file: pathlib.Path) -> str:
    if file.exists() and not file.is_file():  # a pipe would keep its reader waiting
        raise ValueError("it is no file")
    if (size := file.stat().st_size) > _LARGEST_FILE:
        raise ValueError(f"it has {size} bytes; settings have {_LARGEST_FILE} at most")
    return file.read_text(encoding="utf-8-sig")  # with or without the mark that some editors write first


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for key, value in pairs:
        if key in keys:
            raise ValueError(f"key {key!r} is there twice; leave one out")
        keys[key] = value
    return keys


def _from_yaml(text: str) -> Any:
    import yaml  # the engines need it too

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            _once_each([(key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
            return node

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _require_something(settings: Settings) -> None:
    targets = {name: getattr(settings, name) for name in
               ("power_w", "temperature_c", "time_per_token_ms", "max_quality_loss", "objective", "step_period_ms")}
    asked = [name for name, value in targets.items() if value is not None] + (["config"] if settings.config else [])
    if settings.plan is not None and asked:
        raise SettingsError(f"{settings.path}: plan and {', '.join(asked)}: a plan that stays holds no target; leave "
                            "one out")
    if settings.plan is None and not settings.config and not any(
            targets[name] is not None for name in ("power_w", "temperature_c", "time_per_token_ms")):
        raise SettingsError(f"{settings.path}: nothing is asked for: give one of power_w, temperature_c, "
                            "time_per_token_ms, or a plan")


@dataclasses.dataclass(frozen=True)
class _Keys:
    """The file's values by key; each raises where one is not what it must be."""
    file: pathlib.Path
    given: Mapping[str, Any]

    def positive(self, key: str) -> float | None:
        value = self.given.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
            raise self._wrong(key, "a positive number")
        return float(value)

    def whole(self, key: str, least: int) -> int | None:
        value = self.given.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._wrong(key, f"a whole number of {least} or more")
        return value

    def one_of(self, key: str, words: tuple[str, ...]) -> Any:
        value = self.given.get(key)
        if value is not None and value not in words:
            raise self._wrong(key, " or ".join(map(repr, words)))
        return value

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        value = self.given.get(key)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(key, "an object of keys")
        return value

    def existing_file(self, key: str) -> str | None:
        value = self.given.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not _is_file(self.file.parent / value):
            raise self._wrong(key, f"a file that exists, relative to {self.file.parent}")
        return str((self.file.parent / value).resolve())

    def costed_as(self) -> str | Mapping[str, Any] | None:
        value = self.given.get("costed_as")
        if value is not None and not isinstance(value, (str, dict)):
            raise self._wrong("costed_as", "a model's name in the cost model, or {\"name\", \"layers\", \"shape\"}")
        return value

    def config(self) -> Mapping[str, Any]:
        config = self.mapping("config") or {}
        inner = _Keys(self.file, {f"config.{key}": config[key] for key in ("telemetry", "metrics") if key in config})
        for key, value in inner.given.items():
            if not isinstance(value, dict):
                raise inner._wrong(key, "an object of keys")
        try:
            json.dumps(config, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:  # YAML knows dates, NaN and loops
            raise SettingsError(f"{self.file}: config: {error}; expected what JSON can say") from error
        return config

    def plan(self) -> PlanSettings | None:
        given = self.mapping("plan")
        if given is None:
            return None
        keys = _Keys(self.file, {f"plan.{name}": value for name, value in given.items()})
        unknown = set(keys.given) - {"plan.price", "plan.k_min"}
        if unknown:
            raise SettingsError(f"{self.file}: unknown key {sorted(unknown)[0]!r}. Known are plan.price, plan.k_min")
        price = given.get("price")
        if isinstance(price, bool) or not isinstance(price, (int, float)) or not (
                0 <= price <= LARGEST_PRICE or price == math.inf):
            raise keys._wrong("plan.price", f"a number of 0 or more, of {LARGEST_PRICE} at most or Infinity")
        k_min = keys.whole("plan.k_min", 1)
        return PlanSettings(price=float(price), k_min=1 if k_min is None else k_min)

    def _wrong(self, key: str, right: str) -> SettingsError:
        return SettingsError(f"{self.file}: {key} is {self.given.get(key)!r}; expected {right}")


def _is_file(path: pathlib.Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be read
        return False
