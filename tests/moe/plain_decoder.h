// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/aligned_vector.h"
#include "kernels/decode_attention.h"
#include "kernels/grouped_experts.h"
#include "kernels/linear.h"
#include "kernels/topk_route.h"
#include "moe/kv_cache.h"
#include "moe/layer_experts.h"
#include "moe/model_weights.h"
#include "moe/rms_norm.h"
#include "moe/rotary_table.h"

namespace thermoe {

/// Decodes with plain top-k and knows no plan: what BASELINE must equal bit for bit. The arithmetic
/// is the library's, the choice of experts is written out anew: a stable sort of the logits, the k
/// first.
class PlainDecoder {
 public:
  PlainDecoder(const std::string& path, int stream_count)
      : weights(load_model_weights(path)),
        streams(stream_count),
        cache(weights.config.layers, {.streams = streams,
                                      .heads = weights.config.heads,
                                      .head_dim = weights.config.head_dim(),
                                      .context = weights.config.context}),
        rotary(weights.config.context, weights.config.head_dim(), weights.config.rope_base) {}

  /// Picks of the last step, [layers][streams][k].
  std::vector<std::vector<std::int32_t>> picks{};
  std::vector<std::vector<float>> mixing{};

  std::vector<float> step(const std::vector<std::uint8_t>& bytes) {
    const ModelConfig& c = weights.config;
    const int d = c.d_model;
    std::vector<float> x;
    for (const std::uint8_t b : bytes) {
      x.insert(x.end(), weights.embed.begin() + b * d, weights.embed.begin() + (b + 1) * d);
    }
    picks.clear();
    mixing.clear();
    for (int l = 0; l < c.layers; ++l) {
      add(x, attention(l, x));
      add(x, experts(l, x));
    }
    ++position;
    return linear(weights.head, norm(x, weights.final_norm), c.vocab);
  }

 private:
  std::vector<float> norm(const std::vector<float>& x, const std::vector<float>& weight) const {
    std::vector<float> out(x.size());
    rms_norm_rows(x.data(), streams, weights.config.d_model, weight.data(), weights.config.norm_eps,
                  out.data());
    return out;
  }
  std::vector<float> linear(const std::vector<float>& w, const std::vector<float>& x,
                            int outputs) const {
    std::vector<float> y(static_cast<std::size_t>(streams) * outputs);
    const LinearWeights packed(w, outputs, weights.config.d_model);
    thermoe::linear({.x = x.data(), .rows = streams, .weights = &packed, .out = y.data()});
    return y;
  }
  static void add(std::vector<float>& x, const std::vector<float>& update) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += update[i];
  }

  std::vector<float> attention(int l, const std::vector<float>& x) {
    const ModelConfig& c = weights.config;
    const int d = c.d_model;
    const int hd = c.head_dim();
    auto qkv = linear(weights.layers[l].qkv, norm(x, weights.layers[l].attn_norm), 3 * d);
    std::vector<float> out(x.size());
    std::vector<float> scores(cache.layout().scratch());
    for (int b = 0; b < streams; ++b) {
      float* q = qkv.data() + b * 3 * d;
      for (int h = 0; h < 2 * c.heads; ++h) rotary.rotate(q + h * hd, position);
      cache.store(l, b, position, q + d, q + 2 * d);
    }
    const std::vector<int> positions(streams, position);
    decode_attention({.layout = cache.layout(),
                      .query = qkv.data(),
                      .query_stride = 3 * d,
                      .keys = cache.keys(l),
                      .values = cache.values(l),
                      .positions = positions,
                      .scratch = scores,
                      .out = out.data()});
    return linear(weights.layers[l].attn_out, out, d);
  }

  std::vector<float> experts(int l, const std::vector<float>& x) {
    const ModelConfig& c = weights.config;
    const auto hidden = norm(x, weights.layers[l].moe_norm);
    const auto logits = linear(weights.layers[l].router, hidden, c.experts);
    auto& expert = picks.emplace_back();
    auto& weight = mixing.emplace_back();
    for (int b = 0; b < streams; ++b) {
      const float* row = logits.data() + b * c.experts;
      std::vector<std::int32_t> all(c.experts);
      std::iota(all.begin(), all.end(), 0);
      std::ranges::stable_sort(all, [row](int i, int j) { return row[i] > row[j]; });
      const auto mix = mixing_weights(row);
      for (int s = 0; s < c.top_k; ++s) {
        expert.push_back(all[s]);
        weight.push_back(mix[s]);
      }
    }
    const ExpertBank bank = make_expert_bank(weights.layers[l], c, ExpertType::kSimple, 32);
    std::vector<std::int32_t> first(c.experts + 1);
    std::vector<std::int32_t> pair(expert.size());
    const ExpertOrder order{first.data(), pair.data()};
    order_by_expert(expert.data(), streams, c.top_k, c.experts, order);
    AlignedVector<std::byte> workspace(
        grouped_experts_workspace(Backend::kCpu, bank.shape(), streams, c.top_k));
    std::vector<float> out(x.size());
    grouped_experts(Backend::kCpu,
                    {.bank = bank.view(),
                     .hidden = hidden.data(),
                     .tokens = streams,
                     .expert = expert.data(),
                     .weight = weight.data(),
                     .slots = c.top_k,
                     .order = order,
                     .workspace = workspace.data(),
                     .workspace_size = workspace.size(),
                     .out = out.data()},
                    Stream{nullptr});
    return out;
  }

  /// Of the k best of a row, from a call that knows no plan: the kernel alone fixes how exp and the
  /// sum are rounded.
  std::vector<float> mixing_weights(const float* logits) const {
    const ModelConfig& c = weights.config;
    std::vector<std::int32_t> ids(c.top_k);
    std::vector<std::int32_t> counts(c.experts);
    std::vector<float> mix(c.top_k);
    const RouterSpec router{.experts = c.experts, .k = c.top_k};
    AlignedVector<std::byte> workspace(
        topk_route_workspace(Backend::kCpu, RouterView(router, nullptr), 1, c.top_k));
    topk_route(Backend::kCpu,
               {.logits = logits,
                .tokens = 1,
                .router = RouterView(router, nullptr),
                .expert = ids.data(),
                .weight = mix.data(),
                .slots = c.top_k,
                .counts = counts.data(),
                .workspace = workspace.data(),
                .workspace_size = workspace.size()},
               Stream{nullptr});
    return mix;
  }

  ModelWeights weights;
  int streams;
  KvCache cache;
  RotaryTable rotary;
  int position = 0;
};

}  // namespace thermoe
