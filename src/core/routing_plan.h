// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace thermoe {

/// First 64 bytes of a plan.
struct PlanHeader {
  static constexpr std::uint32_t kMagic = 0x4c50'4854;  // "THPL", little endian
  static constexpr std::uint32_t kLayoutVersion = 2;

  std::uint32_t magic = kMagic;
  std::uint32_t layout_version = kLayoutVersion;
  std::uint64_t version = 0;  ///< grows by one with every published plan
  std::uint32_t layers = 0;
  std::uint32_t experts = 0;
  std::uint32_t reserved[10] = {};
};
static_assert(sizeof(PlanHeader) == 64);

/// One layer's row header, 32 bytes.
struct LayerPlan {
  std::int32_t k = 0;      ///< experts a token
  std::int32_t k_min = 0;  ///< each token's k_min best experts are never priced out
  /// Share of tokens that take k + 1 experts (the fractional REDUCED_K mixes two k over tokens).
  float extra_k_share = 0.0F;
  /// Share of tokens whose k_min + 1 best are never priced out (the fractional OPPORTUNISTIC).
  float extra_k_min_share = 0.0F;
  std::uint32_t reserved[4] = {};
};
static_assert(sizeof(LayerPlan) == 32);

/// One layer of a plan, where the data plane reads it: the host's memory or a device's.
struct PlanLayerView {
  int layer = 0;
  const LayerPlan* row = nullptr;
  const float* selection_bias = nullptr;    ///< [experts]
  const float* activation_price = nullptr;  ///< [experts]
  const std::uint8_t* variant = nullptr;    ///< [experts]
};

/// What the control plane tells the data plane: one contiguous block, the same bytes on CPU and GPU
/// (docs/adr/0003-plan-buffer.md gives the offsets):
///
///   PlanHeader                               64 B
///   LayerPlan          [layers]              32 B each
///   selection_bias     [layers][experts]     f32, in units of u: b, subtracted from p + beta
///   activation_price   [layers][experts]     f32, in units of u: lambda * a_e; may be infinite
///   variant            [layers][experts]     u8, precision of the expert (0 = as loaded)
///   reserved           [layers][experts]     u8, zero: room for the expert-parallel rank
///
/// A plan of zeros with k = k_min is the baseline router, bit for bit.
class RoutingPlan {
 public:
  RoutingPlan() = default;
  /// The baseline plan: no bias, no price. Requires 1 <= k <= experts.
  RoutingPlan(int layers, int experts, int k);

  PlanHeader& header();
  const PlanHeader& header() const;
  int layers() const { return static_cast<int>(header().layers); }
  int experts() const { return static_cast<int>(header().experts); }

  LayerPlan& layer(int l);
  const LayerPlan& layer(int l) const;
  std::span<float> selection_bias(int l);
  std::span<const float> selection_bias(int l) const;
  std::span<float> activation_price(int l);
  std::span<const float> activation_price(int l) const;
  std::span<std::uint8_t> variant(int l);
  std::span<const std::uint8_t> variant(int l) const;
  PlanLayerView view(int l) const;
  /// The same layer in a copy of `bytes()` that lies at `base`. Nothing is read there.
  PlanLayerView view_at(const std::byte* base, int l) const;
  /// The same where no plan is at hand, only a block's shape. Requires layer in 0..layers-1.
  static PlanLayerView view_in(const std::byte* block, int layers, int experts, int layer);

  /// Every token takes floor(k) experts, a share k - floor(k) of them one more; none is priced out.
  /// Requires 1 <= k <= experts.
  void set_fractional_k(double k);
  /// OPPORTUNISTIC (opportunistic expert activation, arXiv 2511.02237): each token keeps its
  /// floor(keep) best experts, a share keep - floor(keep) of them one more, and fills up to k from
  /// what the batch keeps. That is pricing with k_min = keep and a price that nothing is worth.
  /// Requires 1 <= keep <= every layer's k.
  void set_opportunistic(double keep);

  bool empty() const { return bytes_.empty(); }
  /// The whole block, as copied to a device.
  std::span<const std::byte> bytes() const { return bytes_; }

  /// Size in bytes of a plan's block, rounded up to 64.
  static std::size_t byte_size(int layers, int experts);

 private:
  std::size_t table_offset() const;
  std::size_t bias_at(int l) const;
  std::size_t price_at(int l) const;
  std::size_t variant_at(int l) const;

  std::vector<std::byte> bytes_{};
};

/// Why the data plane must not run a plan, naming layer and value; nothing where it may: k in
/// 1..experts, k_min in 1..k, shares in 0..1, finite biases, prices of 0 or more. Asked once, when
/// a plan is published.
std::optional<std::string> find_problem(const RoutingPlan& plan);

}  // namespace thermoe
