// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/load_proxy_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "core/errors.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

// Beside the weights: activations, and what the driver takes for graphs and kernels.
constexpr std::size_t kReserve = std::size_t{512} << 20;
constexpr double kGigabyte = 1e9;

template <class... Args>
void expect(bool condition, fmt::format_string<Args...> problem, Args&&... args) {
  if (!condition) throw UsageError(fmt::format(problem, std::forward<Args>(args)...));
}

const char* name_of(const BankPrecisions& precisions) {
  if (precisions.bf16 && precisions.int4) return "bf16 and int4";
  return precisions.int4 ? "int4" : "bf16";
}

std::size_t layer_bytes(const LoadProxyOptions& options) {
  return random_expert_bank_bytes(options.layer_shape(), options.precisions);
}

void check_shape(const ExpertShape& shape) {
  expect(shape.layers >= 1, "{}: layers={} must be 1 or more", shape.name, shape.layers);
  expect(shape.experts >= 1 && shape.experts <= kMaxExperts, "{}: experts={} is outside 1..{}",
         shape.name, shape.experts, kMaxExperts);
  expect(shape.d_model >= 32 && shape.d_model % 32 == 0 && shape.d_ff >= 32 && shape.d_ff % 32 == 0,
         "{}: d_model={} and d_ff={} must be multiples of 32", shape.name, shape.d_model,
         shape.d_ff);
}

}  // namespace

ExpertLayerShape LoadProxyOptions::layer_shape() const {
  return {.experts = shape.experts,
          .d_model = shape.d_model,
          .d_ff = shape.d_ff,
          .kind = shape.gated ? ExpertKind::kSwiGlu : ExpertKind::kGelu};
}

std::size_t LoadProxyOptions::weight_bytes() const {
  return static_cast<std::size_t>(distinct_layers()) * layer_bytes(*this);
}

std::string LoadProxyOptions::description() const {
  const std::string whose = distinct_layers() >= shape.layers
                                ? "each with weights of its own"
                                : fmt::format("which share the weights of {}", distinct_layers());
  return fmt::format("{} layers of {} in {}, {}, {:.1f} GB", shape.layers, shape.name,
                     name_of(precisions), whose, static_cast<double>(weight_bytes()) / kGigabyte);
}

void check_options(const LoadProxyOptions& options) {
  const auto& [shape, precisions, tokens, model_layers, router, distinct] = options;
  check_shape(shape);
  expect(precisions.bf16 || precisions.int4, "{}: no precision", shape.name);
  expect(model_layers >= 1 && model_layers <= shape.layers,
         "the model's {} MoE layers are charged as the {} of {}: they must be 1..{}", model_layers,
         shape.layers, shape.name, shape.layers);
  expect(distinct >= 0 && distinct <= shape.layers, "distinct layers={} is outside 0..layers={}",
         distinct, shape.layers);
  expect(router.experts == shape.experts,
         "the model routes to {} experts a layer, {} has {}: charge a shape with as many",
         router.experts, shape.name, shape.experts);
  const auto problem = find_problem(router, model_layers);
  expect(!problem, "router.{}: {}", problem ? problem->key : "", problem ? problem->problem : "");
  expect(tokens >= 1, "tokens={} must be 1 or more", tokens);
  const std::int64_t picks = std::int64_t{tokens} * options.slots();
  const std::int64_t cells =
      std::max(std::int64_t{tokens} * shape.d_model, picks * std::max(shape.d_ff, 1));
  expect(picks <= INT32_MAX && cells <= UINT32_MAX,
         "tokens={}: {} picks of {} are more activations than {}", tokens, options.slots(),
         shape.name, UINT32_MAX);
}

void check_room(const LoadProxyOptions& options, const DeviceDescription& device) {
  const std::size_t needed = options.weight_bytes() + kReserve;
  if (needed <= device.free_memory) return;
  const std::size_t room = device.free_memory > kReserve ? device.free_memory - kReserve : 0;
  const auto gigabytes = [](std::size_t bytes) { return static_cast<double>(bytes) / kGigabyte; };
  const std::size_t fit = room / layer_bytes(options);
  std::string remedies;
  if (fit > 0) remedies = fmt::format("let layers share weights ({} distinct layers fit), ", fit);
  if (options.precisions.bf16) remedies += "take int4 experts only, ";
  if (!remedies.empty()) remedies += "or ";
  throw UsageError(fmt::format(
      "{} does not fit: {} bytes of device memory are needed, {} has {} free ({:.1f} of {:.1f} "
      "GB); {}take another GPU",
      options.description(), needed, device.name, device.free_memory, gigabytes(device.free_memory),
      gigabytes(device.memory), remedies));
}

}  // namespace thermoe
