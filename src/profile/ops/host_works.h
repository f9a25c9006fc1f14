// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "profile/ops/op_work.h"

namespace thermoe {

/// Bytes of this machine's last level of cache, or a usual number where it does not say.
double host_cache_bytes();

/// The ops of the CPU backend on random data. Weights of neighbouring points are shared.
class HostWorks {
 public:
  /// `cache_bytes`: what copies of weights have to exceed.
  explicit HostWorks(std::uint64_t seed, double cache_bytes = host_cache_bytes());
  ~HostWorks();

  /// Requires a point for which `op_problem(Backend::kCpu, ...)` has none.
  OpWork make(const OpPoint& point);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace thermoe
