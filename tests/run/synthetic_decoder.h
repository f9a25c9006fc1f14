// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>
#include <vector>

#include "moe/adaptive_router.h"
#include "run/byte_decoder.h"

namespace thermoe {

/// Stands for the model: gate logits drawn from a seeded generator (some experts more popular),
/// routed by the real router, and byte logits that drift from those of plain top-k as mass is lost.
/// The same calls give the same results; streams depend on their own bytes only.
class SyntheticDecoder final : public ByteDecoder {
 public:
  struct Shape {
    int layers = 2;
    int experts = 128;
    int k = 8;
    int streams = 16;
  };
  static constexpr int kVocab = 256;

  explicit SyntheticDecoder(Shape shape, std::uint64_t seed = 1);

  const RoutingPlan& baseline() const override { return baseline_; }
  const RouterSpec& router() const override { return router_.router(); }
  void reset(int stream) override;
  DecodeStep step(std::span<const std::uint8_t> bytes, const RoutingPlan& plan) override;

  int resets() const { return resets_; }
  /// Every byte fed so far, step by step.
  const std::vector<std::uint8_t>& fed() const { return fed_; }

 private:
  void draw(int stream, std::uint8_t byte);
  void predict(int stream, double kept_mass);

  Shape shape_;
  std::uint64_t seed_;
  RoutingPlan baseline_;
  AdaptiveRouter router_;
  std::vector<float> popularity_;     // [layers, experts]
  std::vector<std::uint64_t> state_;  // [streams] hash of the bytes since the reset
  std::vector<float> logits_;         // [streams, vocab]
  RoutingStats stats_{};
  LogitSample sample_{};
  std::uint64_t steps_ = 0;
  int resets_ = 0;
  std::vector<std::uint8_t> fed_{};
};

}  // namespace thermoe
