// SPDX-License-Identifier: Apache-2.0
// The CPU's ops for tests in other languages. stdin: a line of JSON with the problem's shape, then
// its arrays, in the order in which they are read below. stdout: the results, nothing else.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/errors.h"
#include "kernels/aligned_vector.h"
#include "kernels/fused_dequant_linear.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

template <class T>
AlignedVector<T> read(std::size_t count) {
  AlignedVector<T> values(count);
  std::cin.read(reinterpret_cast<char*>(values.data()),
                static_cast<std::streamsize>(count * sizeof(T)));
  THERMOE_EXPECT(std::cin, "stdin ends before the problem does");
  return values;
}

template <class T>
void write(const std::vector<T>& values) {
  std::fwrite(values.data(), sizeof(T), values.size(), stdout);
}

/// logits [tokens, experts] f32 (by `type` their bits in 16), then beta [experts] if has_beta.
void route(const nlohmann::json& shape) {
  const int tokens = shape.at("tokens");
  const int slots = shape.at("slots");
  const auto type = static_cast<FloatType>(shape.at("type").get<int>());
  const RouterSpec spec{
      .experts = shape.at("experts"),
      .k = shape.at("k"),
      .score = static_cast<ScoreFunction>(shape.at("score").get<int>()),
      .denominator = shape.at("divide") ? WeightDenominator::kPicked : WeightDenominator::kNone,
      .routed_scale = shape.at("scale")};
  const auto cells = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(spec.experts);
  const auto f32 = read<float>(type == FloatType::kF32 ? cells : 0);
  const auto bits = read<std::uint16_t>(type == FloatType::kF32 ? 0 : cells);
  const auto beta = read<float>(shape.at("has_beta") ? static_cast<std::size_t>(spec.experts) : 0);
  const RouterView router(spec, beta.empty() ? nullptr : beta.data());
  std::vector<std::int32_t> expert(static_cast<std::size_t>(tokens) *
                                   static_cast<std::size_t>(slots));
  std::vector<float> weight(expert.size());
  std::vector<std::int32_t> counts(static_cast<std::size_t>(spec.experts));
  AlignedVector<std::byte> workspace(topk_route_workspace(Backend::kCpu, router, tokens, slots));
  topk_route(Backend::kCpu,
             {.logits = type == FloatType::kF32    ? GateLogits(f32.data())
                        : type == FloatType::kBf16 ? GateLogits::bf16(bits.data())
                                                   : GateLogits::f16(bits.data()),
              .tokens = tokens,
              .router = router,
              .expert = expert.data(),
              .weight = weight.data(),
              .slots = slots,
              .counts = counts.data(),
              .workspace = workspace.data(),
              .workspace_size = workspace.size()},
             Stream{nullptr});
  write(expert);
  write(weight);
}

/// x [tokens, inputs] f32; words, scales and (if has_zeros) zero points of docs/adr/0004; bias
/// [outputs] if has_bias.
void linear(const nlohmann::json& shape) {
  const int tokens = shape.at("tokens");
  Int4View weights{
      .outputs = shape.at("outputs"), .inputs = shape.at("inputs"), .group = shape.at("group")};
  const auto panels = static_cast<std::size_t>(weights.panels());
  const auto inputs = static_cast<std::size_t>(weights.inputs);
  const std::size_t cells = panels * static_cast<std::size_t>(weights.groups()) * Int4View::kPanel;
  const auto x = read<float>(static_cast<std::size_t>(tokens) * inputs);
  const auto words = read<std::uint32_t>(panels * inputs / Int4View::kPerWord * Int4View::kPanel);
  const auto scales = read<float>(cells);
  const auto zeros = read<std::uint8_t>(shape.at("has_zeros") ? cells : 0);
  const auto bias =
      read<float>(shape.at("has_bias") ? static_cast<std::size_t>(weights.outputs) : 0);
  weights.words = words.data();
  weights.scales = scales.data();
  weights.zero_points = zeros.empty() ? nullptr : zeros.data();
  std::vector<float> out(static_cast<std::size_t>(tokens) *
                         static_cast<std::size_t>(weights.outputs));
  fused_dequant_linear(Backend::kCpu,
                       {.x = x.data(),
                        .tokens = tokens,
                        .weights = weights,
                        .bias = bias.empty() ? nullptr : bias.data(),
                        .epilogue = static_cast<Epilogue>(shape.at("epilogue").get<int>()),
                        .out = out.data()},
                       Stream{nullptr});
  write(out);
}

}  // namespace
}  // namespace thermoe

int main() {
  std::string line;
  std::getline(std::cin, line);
  const auto shape = nlohmann::json::parse(line);
  shape.at("op") == "topk_route" ? thermoe::route(shape) : thermoe::linear(shape);
}
