// SPDX-License-Identifier: Apache-2.0
#include "synthetic_decoder.h"

#include <algorithm>

namespace thermoe {
namespace {

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::size_t at(int a, int b, int columns) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(columns) +
         static_cast<std::size_t>(b);
}

}  // namespace

SyntheticDecoder::SyntheticDecoder(Shape shape, std::uint64_t seed)
    : shape_(shape),
      seed_(seed),
      baseline_(shape.layers, shape.experts, shape.k),
      router_({.experts = shape.experts, .k = shape.k}, shape.streams),
      popularity_(at(shape.layers, 0, shape.experts)),
      state_(static_cast<std::size_t>(shape.streams)),
      logits_(at(shape.streams, 0, kVocab)) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (float& p : popularity_) p = 0.5F * normal(random);
  stats_ = {.layers = shape.layers, .experts = shape.experts, .tokens = shape.streams};
  stats_.counts.resize(popularity_.size());
  sample_ = {.layers = shape.layers, .tokens = shape.streams, .experts = shape.experts};
  sample_.logits.resize(popularity_.size() * static_cast<std::size_t>(shape.streams));
}

void SyntheticDecoder::reset(int stream) {
  state_[static_cast<std::size_t>(stream)] = mix(seed_);
  ++resets_;
}

void SyntheticDecoder::draw(int stream, std::uint8_t byte) {
  std::uint64_t& state = state_[static_cast<std::size_t>(stream)];
  state = mix(state ^ byte);
  std::uint64_t x = state;
  for (int l = 0; l < shape_.layers; ++l) {
    for (int e = 0; e < shape_.experts; ++e) {
      // Sum of four uniforms: near enough to a normal of standard deviation 2.
      double sum = 0.0;
      x = mix(x);
      for (int part = 0; part < 4; ++part) sum += static_cast<double>((x >> (16 * part)) & 0xffff);
      const double noise = (sum / 65536.0 - 2.0) * 3.5;
      sample_.logits[at(l * shape_.streams + stream, e, shape_.experts)] =
          static_cast<float>(noise) + popularity_[at(l, e, shape_.experts)];
    }
  }
}

void SyntheticDecoder::predict(int stream, double kept_mass) {
  std::uint64_t x = state_[static_cast<std::size_t>(stream)];
  for (int v = 0; v < kVocab; ++v) {
    x = mix(x);
    const double clean = 4.0 * static_cast<double>(x & 0xffff) / 65536.0;
    const double drift = 4.0 * static_cast<double>((x >> 16) & 0xffff) / 65536.0;
    logits_[at(stream, v, kVocab)] =
        static_cast<float>(kept_mass * clean + (1.0 - kept_mass) * drift);
  }
}

DecodeStep SyntheticDecoder::step(std::span<const std::uint8_t> bytes, const RoutingPlan& plan) {
  fed_.insert(fed_.end(), bytes.begin(), bytes.end());
  for (int s = 0; s < shape_.streams; ++s) draw(s, bytes[static_cast<std::size_t>(s)]);
  std::vector<double> kept(static_cast<std::size_t>(shape_.streams));
  KeptMass all;
  double sum = 0.0;
  for (int l = 0; l < shape_.layers; ++l) {
    const LayerRouting routing = router_.route(sample_.layer(l), shape_.streams, plan, l, steps_);
    std::copy(routing.counts.begin(), routing.counts.end(),
              stats_.counts.begin() + static_cast<std::ptrdiff_t>(at(l, 0, shape_.experts)));
    for (std::size_t s = 0; s < kept.size(); ++s) {
      kept[s] += static_cast<double>(routing.kept_mass[s]) / shape_.layers;
      sum += static_cast<double>(routing.kept_mass[s]) / (shape_.layers * shape_.streams);
      all.add(routing.kept_mass[s]);
    }
  }
  stats_.kept_mass = sum;
  stats_.quality_loss = all.quality_loss();
  for (int s = 0; s < shape_.streams; ++s) predict(s, kept[static_cast<std::size_t>(s)]);
  stats_.step = steps_++;
  return {.logits = logits_, .stats = stats_, .sample = sample_};
}

}  // namespace thermoe
