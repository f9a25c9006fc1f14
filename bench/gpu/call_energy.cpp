// SPDX-License-Identifier: Apache-2.0
#include "call_energy.h"

#include <algorithm>
#include <cmath>

#include "core/clock.h"

namespace thermoe::bench {
namespace {

constexpr Seconds kSettling{0.2};  // before the first moment that counts
constexpr Seconds kPatience{2.0};  // with a counter that stands still
constexpr double kBatch = 40e3;  // microseconds a batch: the pause after it is below 0.3 % of that

/// The energy counter, each time that it moves.
class CounterEdges {
 public:
  void add(Seconds at, Joules energy) {
    if (seen_ && energy != *seen_ && at >= kSettling) {
      if (!first_) first_ = Edge{at, energy};
      last_ = Edge{at, energy};
    }
    seen_ = energy;
  }
  Seconds span() const { return first_ ? last_.at - first_->at : Seconds(0.0); }
  Watts power() const { return (last_.energy - first_->energy) / span(); }

 private:
  struct Edge {
    Seconds at{};
    Joules energy{};
  };
  std::optional<Joules> seen_{};
  std::optional<Edge> first_{};
  Edge last_{};
};

}  // namespace

std::optional<CallEnergy> call_energy(const GraphChain& chain, Seconds window, GpuMeter& meter,
                                      Stream stream) {
  const double replay_us = time_replays(chain, 1, stream).front() * chain.calls();
  const int batch = std::max(1, static_cast<int>(std::lround(kBatch / replay_us)));
  const SteadyClock clock;
  CounterEdges counter;
  const auto read_counter = [&] {
    if (const auto energy = meter.read(true).energy.value) counter.add(clock.now(), *energy);
  };
  double us = 0.0;
  int replays = 0;
  while (counter.span() < window && clock.now() < window + kSettling + kPatience) {
    for (const double t : time_replays(chain, batch, stream, read_counter)) us += t;
    replays += batch;
  }
  if (counter.span() < window) return std::nullopt;
  const Watts watts = counter.power();
  return CallEnergy{.joules = watts * Seconds(us / replays * 1e-6), .watts = watts};
}

}  // namespace thermoe::bench
