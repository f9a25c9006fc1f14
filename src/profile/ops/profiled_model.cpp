// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/profiled_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

// All sizes are multiples of 128, so that any int4 group divides them.
constexpr int kModelWidths[] = {512, 1024, 2048, 4096, 7168};
constexpr int kExpertWidths[] = {384, 768, 1536, 3072, 6144, 14336};

ExpertShape shape(const char* name, int layers, int experts, int top_k, int d_model, int d_ff) {
  return {.name = name,
          .experts = experts,
          .top_k = top_k,
          .d_model = d_model,
          .d_ff = d_ff,
          .layers = layers};
}

}  // namespace

const std::vector<ProfiledModel>& profiled_models() {
  static const std::vector<ProfiledModel> models = {
      {shape("Mixtral-8x7B", 32, 8, 2, 4096, 14336), 32, 128},
      {shape("Qwen3-30B-A3B", 48, 128, 8, 2048, 768), 32, 128},
      {shape("DeepSeek-V3", 58, 256, 8, 7168, 2048), 128, 128},
      {shape("OLMoE-1B-7B", 16, 64, 8, 2048, 1024), 16, 128},
      {shape("gpt-oss-20b", 24, 32, 4, 2880, 2880), 64, 64},
  };
  return models;
}

const ProfiledModel& profiled_model(std::string_view name) {
  std::vector<std::string> names;
  for (const ProfiledModel& model : profiled_models()) {
    if (model.experts.name == name) return model;
    names.push_back(model.experts.name);
  }
  const auto nearest = nearest_name(name, names);
  throw UsageError(fmt::format("--model {}: is not known; known are {}{}", name,
                               fmt::join(names, ", "),
                               nearest ? fmt::format("; did you mean {}?", *nearest) : ""));
}

std::vector<ProfiledModel> sweep_models(SweepAxis axis) {
  const ProfiledModel& base = profiled_model("Qwen3-30B-A3B");
  const bool model_width = axis == SweepAxis::kModelWidth;
  std::vector<int> sizes(std::begin(kModelWidths), std::end(kModelWidths));
  if (!model_width) sizes.assign(std::begin(kExpertWidths), std::end(kExpertWidths));
  std::vector<ProfiledModel> models;
  for (const int size : sizes) {
    ProfiledModel model = base;
    (model_width ? model.experts.d_model : model.experts.d_ff) = size;
    model.experts.name += fmt::format(" {} {}", model_width ? "d_model" : "d_ff", size);
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace thermoe
