// SPDX-License-Identifier: Apache-2.0
#include "moe/model_weights.h"

#include <nlohmann/json.hpp>
#include <set>

#include "core/errors.h"
#include "core/json_file.h"
#include "moe/safetensors.h"

namespace thermoe {
namespace {

constexpr const char* kConfig = "thermoe_config";

/// Hands out tensors by name and remembers which, so that the rest can be refused.
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& path) : file_(SafetensorsFile::open(path)) {}

  ModelConfig config() const {
    const std::string key = fmt::format("__metadata__/{}", kConfig);
    const std::string& text = file_.metadata(kConfig);
    try {
      return model_config_from(parse_json(text, file_.path()), file_.path(), key);
    } catch (const FormatError& error) {
      if (!error.key().empty()) throw;
      throw FormatError(file_.path(), key, "is not a JSON object with the model's configuration");
    }
  }

  std::vector<float> take(const std::string& name, const std::vector<std::int64_t>& shape) {
    taken_.insert(name);
    return file_.floats(name, shape);
  }

  void refuse_the_rest() const {
    for (const TensorView& t : file_.tensors()) {
      if (!taken_.contains(t.name)) {
        throw FormatError(file_.path(), t.name,
                          fmt::format("is no tensor of the model that {} describes", kConfig));
      }
    }
  }

 private:
  SafetensorsFile file_;
  std::set<std::string> taken_{};
};

LayerWeights load_layer(Checkpoint& checkpoint, const ModelConfig& c, int layer) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  const std::int64_t d = c.d_model;
  const std::int64_t e = c.experts;
  const std::int64_t f = c.d_ff;
  return {.attn_norm = checkpoint.take(prefix + "attn_norm.weight", {d}),
          .qkv = checkpoint.take(prefix + "attn.qkv.weight", {3 * d, d}),
          .attn_out = checkpoint.take(prefix + "attn.out.weight", {d, d}),
          .moe_norm = checkpoint.take(prefix + "moe_norm.weight", {d}),
          .router = checkpoint.take(prefix + "moe.router.weight", {e, d}),
          .gate = checkpoint.take(prefix + "moe.gate", {e, f, d}),
          .up = checkpoint.take(prefix + "moe.up", {e, f, d}),
          .down = checkpoint.take(prefix + "moe.down", {e, d, f})};
}

}  // namespace

ModelConfig read_model_config(const std::string& path) { return Checkpoint(path).config(); }

ModelWeights load_model_weights(const std::string& path) {
  Checkpoint checkpoint(path);
  const ModelConfig config = checkpoint.config();
  const std::int64_t d = config.d_model;
  ModelWeights weights{.config = config,
                       .embed = checkpoint.take("embed.weight", {config.vocab, d}),
                       .final_norm = checkpoint.take("final_norm.weight", {d}),
                       .head = checkpoint.take("head.weight", {config.vocab, d})};
  for (int l = 0; l < config.layers; ++l) {
    weights.layers.push_back(load_layer(checkpoint, config, l));
  }
  checkpoint.refuse_the_rest();
  return weights;
}

}  // namespace thermoe
