// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "profile/op_point.h"

namespace thermoe {

/// A point that is ready to be executed: it holds the memory that it reads and writes.
struct OpWork {
  /// Executes the op once: on the CPU before it returns, on a device in the stream's order, so that
  /// it may be captured. `call` (0, 1, ...) chooses the copy of the weights, and whose tokens go
  /// where: no call finds its weights in the last level of cache. Activations and logits may be
  /// there, as those that another op has just written are.
  std::function<void(int call, Stream stream)> enqueue{};
};

/// How many copies of weights calls rotate through, so that a copy has left the cache before it is
/// read again: together at least four times the cache, as far as `most_bytes` allow. One at least.
int rotating_copies(const OpPoint& point, double cache_bytes, double most_bytes);

/// The newest table's weights, which neighbouring points share.
template <class Weights>
class LastWeights {
 public:
  using All = std::vector<Weights>;

  /// At least so many copies: `make(i)` gives the one of index i.
  template <class Make>
  std::shared_ptr<const All> get(const OpKey& key, int copies, const Make& make) {
    if (weights_ && key_ == key && static_cast<int>(weights_->size()) >= copies) return weights_;
    weights_.reset();  // the old ones go before new ones need their place
    auto all = std::make_shared<All>();
    for (int i = 0; i < copies; ++i) all->push_back(make(i));
    key_ = key;
    return weights_ = std::move(all);
  }

 private:
  OpKey key_{};
  std::shared_ptr<const All> weights_{};
};

}  // namespace thermoe
