// SPDX-License-Identifier: Apache-2.0
#include "control/fermi_rows.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr int kBlockRows = 64;

}  // namespace

FermiRows::FermiRows(std::span<const float> scores, int layers, int tokens, int experts, int k,
                     double tau, cpu::Isa isa)
    : layers_(layers),
      tokens_(tokens),
      experts_(experts),
      k_(k),
      tau_(tau),
      isa_(isa),
      padded_((static_cast<std::size_t>(experts) + kFermiLanes - 1) / kFermiLanes * kFermiLanes) {
  THERMOE_EXPECT(layers >= 1 && tokens >= 1 && k >= 1 && k < experts && experts <= 1024,
                 "{} layers of {} tokens, k={} of {} experts: need 1 <= k < experts <= 1024",
                 layers, tokens, k, experts);
  THERMOE_EXPECT(std::isfinite(tau) && tau > 0.0, "tau={} must be above 0", tau);
  const std::size_t rows = static_cast<std::size_t>(layers) * tokens;
  const auto e = static_cast<std::size_t>(experts);
  THERMOE_EXPECT(scores.size() == rows * e, "{} scores, need {}", scores.size(), rows * e);
  score_.resize(rows * padded_);
  middle_.resize(rows);
  threshold_.resize(rows);
  price_.assign(static_cast<std::size_t>(layers) * padded_, 0.0F);
  const std::size_t sound = prepare_fermi_scores({.from = scores.data(),
                                                  .to = score_.data(),
                                                  .middle = middle_.data(),
                                                  .threshold = threshold_.data(),
                                                  .rows = rows,
                                                  .experts = e,
                                                  .padded = padded_,
                                                  .k = k,
                                                  .tau = tau},
                                                 isa);
  THERMOE_EXPECT(
      sound == rows, "layer {}, token {}: needs more than k={} finite scores, no NaN, no +infinity",
      sound / static_cast<std::size_t>(tokens), sound % static_cast<std::size_t>(tokens), k);
  const int blocks = (tokens + kBlockRows - 1) / kBlockRows;
  blocks_.assign(static_cast<std::size_t>(layers) * blocks,
                 {.load = std::vector<float>(padded_), .curvature = std::vector<float>(padded_)});
}

void FermiRows::sweep(std::span<const double> price, int threads, FermiLoads& out) {
  const auto e = static_cast<std::size_t>(experts_);
  const std::size_t a_layer = blocks_.size() / static_cast<std::size_t>(layers_);
  for (int l = 0; l < layers_; ++l) {
    for (std::size_t i = 0; i < e; ++i) {
      price_[l * padded_ + i] = static_cast<float>(price[l * e + i] / tau_);
    }
  }
  const auto work = [&](std::size_t first) {
    for (std::size_t b = first; b < blocks_.size(); b += static_cast<std::size_t>(threads)) {
      const std::size_t layer = b / a_layer, token = b % a_layer * kBlockRows;
      const std::size_t row = layer * tokens_ + token;
      sweep_fermi_block(
          {.score = score_.data() + row * padded_,
           .threshold = threshold_.data() + row,
           .middle = middle_.data() + row,
           .price = price_.data() + layer * padded_,
           .padded = padded_,
           .rows = static_cast<int>(std::min<std::size_t>(kBlockRows, tokens_ - token)),
           .k = k_,
           .tau = tau_,
           .block = &blocks_[b]},
          isa_);
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work, static_cast<std::size_t>(i));
    work(0);
  }
  out.value = 0.0;
  out.load.assign(static_cast<std::size_t>(layers_) * e, 0.0);
  out.curvature.assign(out.load.size(), 0.0);
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const std::size_t cell = b / a_layer * e;
    out.value += blocks_[b].value;
    for (std::size_t i = 0; i < e; ++i) {
      out.load[cell + i] += blocks_[b].load[i];
      out.curvature[cell + i] += blocks_[b].curvature[i] / tau_;
    }
  }
}

}  // namespace thermoe
