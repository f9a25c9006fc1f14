// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/logit_sample.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "kernels/backend.h"
#include "moe/adaptive_router.h"
#include "moe/expert_type.h"
#include "moe/model_config.h"

namespace thermoe {

struct DecoderOptions {
  int streams = 16;   ///< sequences decoded together: the batch
  int context = 512;  ///< positions a stream may hold before it must be reset; <= the model's
  ExpertType experts = ExpertType::kSimple;
  int int4_group =
      32;  ///< inputs that share a scale in quantised experts; divides d_model and d_ff
  std::optional<WeightDenominator> denominator{};  ///< instead of the checkpoint's
  /// Of routing and experts; the rest is always the CPU's. kCuda copies to the device and back and
  /// waits in every layer; it runs bf16 and int4 experts, their activations rounded to bf16.
  Backend kernels = Backend::kCpu;
};

/// One decoded step. Views: valid until the next call of `step`.
struct DecodeStep {
  std::span<const float> logits;  ///< [streams, vocab] of the next byte
  const RoutingStats& stats;      ///< loads and kept mass of this step
  const LogitSample& sample;      ///< gate logits of this step, before the score function
  /// [layers] who went where in each; empty from a decoder that does not say.
  std::span<const LayerRouting> routing{};
};

/// Decodes a batch of byte streams one byte a step, with a KV cache. Each stream has its own
/// position and may be reset on its own. Deterministic for a given sequence of calls; no allocation
/// in a step. Single-threaded and without shared state: several decoders may run side by side.
class Decoder {
 public:
  /// Loads a checkpoint. Throws FormatError naming file, tensor and what was expected; UsageError
  /// where the kernels cannot run here, or not these experts.
  static std::unique_ptr<Decoder> load(const std::string& safetensors_path,
                                       const DecoderOptions& options);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  const ModelConfig& config() const;
  const DecoderOptions& options() const;
  /// How it routes without a plan.
  const RouterSpec& router() const;

  /// Forgets a stream's context: its next byte is position 0.
  void reset(int stream);
  /// Bytes that a stream holds: the position of its next byte. At `context` it must be reset.
  int position(int stream) const;

  /// Feeds one byte to each stream and predicts the next. `bytes` [streams]. The plan must be of
  /// the model's shape; with zeros it routes as plain top-k, bit for bit. A layer's two shares hold
  /// of the (stream, step) pairs, spread evenly over streams and steps. Requires room in every
  /// stream's context.
  const DecodeStep& step(std::span<const std::uint8_t> bytes, const RoutingPlan& plan);

 private:
  struct Impl;
  explicit Decoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace thermoe
