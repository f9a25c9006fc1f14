// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/backend.h"

namespace thermoe::bench {

/// What a row runs, ready to be captured. `enqueue` owns the device memory that it touches (a
/// captured shared_ptr will do).
struct Work {
  /// Puts call number `call` (0, 1, ...) on the stream: other ids each call, and another weight set
  /// (`sets_to_rotate`), so that no call finds its weights in L2.
  std::function<void(int call, Stream stream)> enqueue{};
  double bytes = 0.0;  ///< that a call has to read and write: its floor
};

/// One line of the results. Nothing is allocated before `prepare`.
struct Row {
  std::string op{};
  nlohmann::ordered_json shape = nlohmann::ordered_json::object();
  std::string impl{};  ///< "cuda", "triton", ...
  std::function<Work()> prepare{};
  int least_calls = 128;  ///< that are captured into one graph; `long_chain` says how many are
};

/// "op/impl/key:value/...": what --filter matches and --list prints.
inline std::string name_of(const Row& row) {
  std::string name = row.op + "/" + row.impl;
  for (const auto& [key, value] : row.shape.items()) {
    name += "/" + key + ":" + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return name;
}

}  // namespace thermoe::bench
