// SPDX-License-Identifier: Apache-2.0
#include "measure/unit_meter.h"

#include <fmt/format.h>

#include <utility>

namespace thermoe {
namespace {

constexpr Seconds kTimeout{5.0};

CounterValue read(const UnitsChoice& choice) {
  const HttpPage page = http_get(*choice.url, kTimeout);
  if (!page.body) return {.fault = page.fault};
  CounterValue value = read_counter(*page.body, choice.counter);
  if (!value.value) value.fault = fmt::format("{}: {}", choice.url->text, value.fault);
  return value;
}

}  // namespace

UnitMeter::UnitMeter(UnitsChoice choice) : choice_(std::move(choice)) {
  if (choice_.regex) output_.emplace(*choice_.regex);
}

std::string UnitMeter::begin() {
  if (output_) output_->clear();
  if (!choice_.url) return "";
  before_ = read(choice_);
  return before_.fault;
}

std::optional<UnitCount> UnitMeter::end() {
  if (choice_.count) return UnitCount{.count = choice_.count, .basis = "--units"};
  if (choice_.url) return counter_growth();
  if (!output_) return std::nullopt;
  return UnitCount{.count = output_->number(),
                   .absent_because = output_->fault(),
                   .basis = "the command's output"};
}

UnitCount UnitMeter::counter_growth() {
  UnitCount made{.basis = fmt::format("{} at {}", choice_.counter.name, choice_.url->text)};
  if (!before_.value) {
    made.absent_because = before_.fault;
    return made;
  }
  const CounterValue after = read(choice_);
  if (!after.value) {
    made.absent_because = after.fault;
  } else if (*after.value < *before_.value) {
    made.absent_because = fmt::format("{} fell from {} to {}: the server was started anew",
                                      choice_.counter.name, *before_.value, *after.value);
  } else if (*after.value == *before_.value) {
    made.absent_because = fmt::format("{} stayed at {}", choice_.counter.name, *after.value);
  } else {
    made.count = *after.value - *before_.value;
  }
  return made;
}

}  // namespace thermoe
