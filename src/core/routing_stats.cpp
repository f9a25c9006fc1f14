// SPDX-License-Identifier: Apache-2.0
#include "core/routing_stats.h"

#include <algorithm>
#include <cmath>

namespace thermoe {

double quality_loss_of(double kept_mass) {
  return 0.0 - std::log(std::clamp(kept_mass, kLeastKeptMass, 1.0));  // nothing lost: 0, not -0
}

void KeptMass::fold() {
  nats_ -= std::log(product_);
  product_ = 1.0;
}

double KeptMass::quality_loss() const {
  return tokens_ > 0 ? (nats_ - std::log(product_)) / static_cast<double>(tokens_) : 0.0;
}

int RoutingStats::active(int l) const {
  const auto row = layer(l);
  return static_cast<int>(std::count_if(row.begin(), row.end(), [](int n) { return n > 0; }));
}

double RoutingStats::mean_active() const {
  if (layers == 0) return 0.0;
  int total = 0;
  for (int l = 0; l < layers; ++l) total += active(l);
  return static_cast<double>(total) / layers;
}

}  // namespace thermoe
