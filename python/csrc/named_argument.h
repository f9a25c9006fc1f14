// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/ranges.h>

#include <optional>
#include <string>
#include <vector>

#include "core/errors.h"
#include "core/named_values.h"

namespace thermoe::torch_ops {

/// What an argument's name stands for, if anything; throws PreconditionError with the known ones.
template <class Value>
Value named(const std::optional<Value>& value, const char* argument, const std::string& name,
            const std::vector<std::string>& known) {
  THERMOE_EXPECT(value, "{}=\"{}\" is unknown; there are {}", argument, name,
                 fmt::join(known, ", "));
  return *value;
}
template <class Value, std::size_t N>
Value named(const NamedValues<Value, N>& values, const char* argument, const std::string& name) {
  return named(value_of(values, name), argument, name, all_names(values));
}

}  // namespace thermoe::torch_ops
