// SPDX-License-Identifier: Apache-2.0
#include "permute_combine_problem.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <random>

namespace thermoe {
namespace {

std::vector<float> eighths(std::size_t n, std::mt19937& random) {
  std::uniform_int_distribution<int> draw(-64, 64);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(draw(random)) / 8.0F;
  return values;
}

std::size_t size_of(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

/// A tensor of either type.
std::vector<std::byte> packed(const std::vector<float>& values, FloatType type) {
  std::vector<std::byte> bytes(values.size() * size_of(type));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]);
    const auto half = static_cast<std::uint16_t>(bits >> 16);
    std::memcpy(bytes.data() + i * size_of(type),
                type == FloatType::kF32 ? static_cast<const void*>(&bits) : &half, size_of(type));
  }
  return bytes;
}

std::vector<float> unpacked(const std::vector<std::byte>& bytes, FloatType type) {
  std::vector<float> values(bytes.size() / size_of(type));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(reinterpret_cast<std::byte*>(&bits) + 4 - size_of(type),
                bytes.data() + i * size_of(type), size_of(type));
    values[i] = std::bit_cast<float>(bits);
  }
  return values;
}

std::vector<float> poison(std::size_t n) {
  return std::vector<float>(n, std::numeric_limits<float>::quiet_NaN());
}

}  // namespace

PermuteProblem::PermuteProblem(const PermuteShape& s, unsigned seed) : shape(s) {
  std::mt19937 random(seed);
  const std::size_t picks = static_cast<std::size_t>(s.tokens) * s.slots;
  std::uniform_int_distribution<int> draw(0, s.experts - 1);
  expert.resize(picks);
  for (std::int32_t& e : expert) e = random() % 6 == 0 ? -1 : draw(random);
  weight = eighths(picks, random);
  for (std::size_t i = 0; i < picks; ++i) {
    if (expert[i] < 0) weight[i] = std::numeric_limits<float>::quiet_NaN();  // nobody's business
  }
  x = eighths(static_cast<std::size_t>(s.tokens) * s.width, random);
  rows = eighths(picks * s.width, random);
  grad_out = eighths(x.size(), random);
}

PermuteCombineRun::PermuteCombineRun(Backend backend, const PermuteProblem& p, FloatType type)
    : backend_(backend),
      shape_(p.shape),
      type_(type),
      expert_(backend, p.expert),
      first_(backend, std::vector(p.shape.experts + 1, -7)),
      pair_(backend, std::vector(p.expert.size(), -7)),
      row_(backend, std::vector(p.expert.size(), -7)),
      weight_(backend, p.weight),
      grad_weight_(backend, poison(p.weight.size())),
      x_(tensor(p.x)),
      rows_(tensor(p.rows)),
      grad_out_(tensor(p.grad_out)),
      permuted_(tensor(poison(p.rows.size()))),
      combined_(tensor(poison(p.x.size()))),
      grad_rows_(tensor(poison(p.rows.size()))),
      grad_x_(tensor(poison(p.x.size()))),
      workspace_(backend, std::vector<std::byte>(order_by_expert_workspace(
                              backend, p.shape.tokens, p.shape.slots, p.shape.experts))) {}

Operand<std::byte> PermuteCombineRun::tensor(const std::vector<float>& values) const {
  return {backend_, packed(values, type_)};
}

void PermuteCombineRun::run(Stream stream) {
  const ExpertOrder order{first_.data(), pair_.data()};
  order_by_expert(backend_,
                  {.expert = expert_.data(),
                   .tokens = shape_.tokens,
                   .slots = shape_.slots,
                   .experts = shape_.experts,
                   .order = order,
                   .workspace = workspace_.data(),
                   .workspace_size = workspace_.size()},
                  stream);
  permute(backend_,
          {.x = x_.data(),
           .type = type_,
           .tokens = shape_.tokens,
           .width = shape_.width,
           .expert = expert_.data(),
           .slots = shape_.slots,
           .experts = shape_.experts,
           .order = order,
           .rows = permuted_.data(),
           .row = row_.data()},
          stream);
  CombineArgs combined{.rows = rows_.data(),
                       .type = type_,
                       .tokens = shape_.tokens,
                       .width = shape_.width,
                       .row = row_.data(),
                       .slots = shape_.slots,
                       .weight = weight_.data(),
                       .out = combined_.data()};
  combine(backend_, combined, stream);
  combine_backward(backend_,
                   {.grad_out = grad_out_.data(),
                    .rows = rows_.data(),
                    .type = type_,
                    .tokens = shape_.tokens,
                    .width = shape_.width,
                    .row = row_.data(),
                    .slots = shape_.slots,
                    .weight = weight_.data(),
                    .filled = first_.data() + shape_.experts,
                    .grad_rows = grad_rows_.data(),
                    .grad_weight = grad_weight_.data()},
                   stream);
  combined.rows = grad_rows_.data();
  combined.weight = nullptr;
  combined.out = grad_x_.data();
  combine(backend_, combined, stream);
}

PermuteResult PermuteCombineRun::result() {
  PermuteResult result{.first = first_.values(),
                       .pair = pair_.values(),
                       .row = row_.values(),
                       .permuted = unpacked(permuted_.values(), type_),
                       .combined = unpacked(combined_.values(), type_),
                       .grad_rows = unpacked(grad_rows_.values(), type_),
                       .grad_weight = grad_weight_.values(),
                       .grad_x = unpacked(grad_x_.values(), type_)};
  result.pair.resize(result.first.back());
  return result;
}

PermuteResult run_permute_combine(Backend backend, const PermuteProblem& problem, FloatType type) {
  PermuteCombineRun run(backend, problem, type);
  run.run(Stream{nullptr});
  return run.result();
}

std::vector<PermuteShape> permute_shapes() {
  return {
      {.tokens = 0, .slots = 2, .experts = 8, .width = 16},
      {.tokens = 1, .slots = 1, .experts = 1, .width = 1},
      {.tokens = 16, .slots = 8, .experts = 128, .width = 192},
      {.tokens = 17, .slots = 3, .experts = 60, .width = 33},  // rows of no whole 16 bytes
      {.tokens = 64, .slots = 10, .experts = 512, .width = 40},
      {.tokens = 1700, .slots = 8, .experts = 5, .width = 8},  // many chunks of the sort
      {.tokens = 300, .slots = 4, .experts = 1024, .width = 264},
  };
}

}  // namespace thermoe
