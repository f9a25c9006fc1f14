// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"
#include "moe/language_model.h"
#include "moe/safetensors.h"

namespace thermoe {

void save_language_model(LanguageModel& model, const std::string& path, at::ScalarType dtype,
                         const std::vector<std::pair<std::string, std::string>>& metadata) {
  THERMOE_EXPECT(dtype == at::kFloat || dtype == at::kBFloat16, "checkpoints are f32 or bf16");
  std::vector<at::Tensor> kept;  // owns the bytes that the views show
  std::vector<TensorView> views;
  for (const auto& item : model->named_parameters()) {
    kept.push_back(item.value().detach().to(at::kCPU, dtype).contiguous());
    const at::Tensor& t = kept.back();
    views.push_back({.name = item.key(),
                     .dtype = dtype == at::kFloat ? "F32" : "BF16",
                     .shape = t.sizes().vec(),
                     .data = {static_cast<const std::byte*>(t.data_ptr()), t.nbytes()}});
  }
  std::map<std::string, std::string> all(metadata.begin(), metadata.end());
  all["thermoe_config"] = to_json(model->config()).dump();
  write_safetensors(path, views, all);
}

LanguageModel load_language_model(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto json = parse_json(file.metadata("thermoe_config"), path);
  LanguageModel model(model_config_from(json, path, "__metadata__/thermoe_config"));
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    at::Tensor& parameter = item.value();
    const std::vector<float> values = file.floats(item.key(), parameter.sizes().vec());
    std::memcpy(parameter.data_ptr<float>(), values.data(), values.size() * sizeof(float));
  }
  return model;
}

}  // namespace thermoe
