// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace thermoe {

/// Which samples of a page of metrics are added up: all of that name whose labels are as wanted.
struct CounterSelector {
  std::string name{};
  std::vector<std::pair<std::string, std::string>> labels{};
};
/// `name` or `name{label="value",...}`. Throws UsageError for anything else.
CounterSelector parse_counter_selector(std::string_view text);

/// A counter's value, or why there is none.
struct CounterValue {
  std::optional<double> value{};
  std::string fault{};
};
/// The sum over the matching samples of a page in Prometheus' text format. Lines that are not of
/// that format are passed over; a matching one without a finite number >= 0 is a fault, and so is
/// none that matches (the fault names what is nearest).
CounterValue read_counter(std::string_view page, const CounterSelector& selector);

}  // namespace thermoe
