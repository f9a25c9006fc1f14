// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/errors.h"
#include "kernels/cuda/backends.h"
#include "kernels/cuda/bf16_panels.cuh"
#include "kernels/cuda/expert_combine.cuh"
#include "kernels/cuda/expert_matrix.cuh"
#include "kernels/cuda/expert_matrix_wide.cuh"
#include "kernels/cuda/int4_experts.cuh"

namespace thermoe::cuda {
namespace {

/// The caller's scratch memory.
struct Workspace {
  __nv_bfloat16* rows;  // [tokens, padded d_model]: `hidden`, where it cannot be read as it is
  __nv_bfloat16* activations;  // [picks, padded d_ff], in the expert order
  float* parts;                // [tokens * slots, padded d_model]: what each expert gives
  std::size_t size;

  Workspace(std::byte* memory, const ExpertLayerShape& shape, int tokens, int slots) : size(0) {
    const auto picks = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(slots);
    const auto model = static_cast<std::size_t>(shape.padded_model());
    const auto take = [&](std::size_t bytes) {
      std::byte* const at = memory + size;
      size += (bytes + 255) / 256 * 256;
      return at;
    };
    rows = reinterpret_cast<__nv_bfloat16*>(take(2 * static_cast<std::size_t>(tokens) * model));
    activations = reinterpret_cast<__nv_bfloat16*>(
        take(2 * picks * static_cast<std::size_t>(shape.padded_ff())));
    parts = reinterpret_cast<float*>(take(sizeof(float) * picks * model));
  }
};

/// Warps that share a panel: so few that each still has some units of its inputs to stream.
int int4_slices(int inputs, int matrices) {
  const int units = (inputs + kUnit - 1) / kUnit * matrices;
  return std::clamp(units / 8, 1, 8);
}

/// Picks an expert from which on arithmetic takes longer than reading its weights.
constexpr int kWidePicks = 64;

class Launcher {
 public:
  Launcher(const GroupedExpertsArgs& args, Stream stream)
      : a_(args),
        shape_(args.bank.shape),
        stream_(native(stream)),
        workspace_(args.workspace, shape_, args.tokens, args.slots),
        picks_(std::int64_t{args.tokens} * args.slots),
        multiprocessors_(device_attribute(cudaDevAttrMultiProcessorCount)) {}

  void run() {
    const auto [rows, stride] = hidden_rows();
    const int hidden_panels = shape_.padded_ff() / kPanel;
    const int model_panels = shape_.padded_model() / kPanel;
    const ExpertMatrixArgs hidden{.kind = shape_.kind,
                                  .inputs = shape_.d_model,
                                  .panels = hidden_panels,
                                  .rows = rows,
                                  .stride = stride,
                                  .slots = a_.slots,
                                  .bias = a_.bank.up_bias,
                                  .out = workspace_.activations};
    const ExpertMatrixArgs down{.kind = shape_.kind,
                                .inputs = shape_.d_ff,
                                .panels = model_panels,
                                .rows = workspace_.activations,
                                .stride = shape_.padded_ff(),
                                .slots = a_.slots,
                                .bias = a_.bank.down_bias,
                                .out = workspace_.parts};
    for_each_precision<false>(hidden);
    for_each_precision<true>(down);
    sum_up();
  }

 private:
  /// `hidden` itself, or its copy in the form that the kernels read.
  std::pair<const __nv_bfloat16*, int> hidden_rows() {
    if (a_.hidden_type == FloatType::kBf16 && shape_.d_model % 8 == 0) {
      return {static_cast<const __nv_bfloat16*>(a_.hidden), shape_.d_model};
    }
    constexpr int kRoundThreads = 256;
    const int padded = shape_.padded_model();
    const auto cells = static_cast<std::int64_t>(a_.tokens) * padded;
    const auto grid = std::min<std::int64_t>((cells + kRoundThreads - 1) / kRoundThreads, 4096);
    launch_dependent("round_rows", round_rows, {static_cast<unsigned>(grid), kRoundThreads},
                     stream_, a_.hidden_type, a_.hidden, a_.tokens, shape_.d_model, padded,
                     workspace_.rows);
    return {workspace_.rows, padded};
  }

  /// A launch for each precision that experts may run in.
  template <bool kDown>
  void for_each_precision(ExpertMatrixArgs args) {
    const ExpertBankView& bank = a_.bank;
    const bool mixed = bank.has_bf16() && bank.has_int4() && a_.variant;
    args.picks = {.first = a_.order.first,
                  .pair = a_.order.pair,
                  .variant = mixed ? a_.variant : nullptr,
                  .runs = 0,
                  .experts = shape_.experts};
    if (bank.has_bf16()) {
      const auto& w = bank.bf16;
      Bf16Panels weights{.words_a_panel = (args.inputs + 1) / 2 * kPanel};
      weights.matrix[0] = kDown ? w.down : bank.gated() ? w.gate : w.up;
      weights.matrix[1] = kDown ? w.down : w.up;
      if (picks_ < std::int64_t{kWidePicks} * shape_.experts) {
        launch<kDown>(args, weights);
      } else {
        launch_wide<kDown>(args, weights);
      }
    }
    if (bank.has_int4() && (mixed || !bank.has_bf16())) {
      args.picks.runs = 1;
      if (kDown) {
        launch_int4<true>(args, bank.int4.down);
      } else if (bank.gated()) {
        launch_int4<false>(args, bank.int4.gate, bank.int4.up);
      } else {
        launch_int4<false>(args, bank.int4.up);
      }
    }
  }

  template <bool kDown, class... Matrices>
  void launch_int4(const ExpertMatrixArgs& args, const Int4Matrices& first,
                   const Matrices&... second) {
    constexpr int kMatrices = 1 + sizeof...(second);
    const Int4ExpertsCall<kMatrices> call{
        .args = args,
        .weights = {Int4Matrix(first.first), Int4Matrix(second.first)...},
        .octet_stride = static_cast<int>(first.word_stride / kPanel),
        .group_stride = static_cast<int>(first.cell_stride / kPanel),
        .slices = int4_slices(args.inputs, kMatrices)};
    switch (first.first.group) {
      case 32:
        return launch_int4<kDown, 32>(call);
      case 64:
        return launch_int4<kDown, 64>(call);
      default:
        return launch_int4<kDown, 128>(call);
    }
  }

  template <bool kDown, int kGroup, int kMatrices>
  void launch_int4(const Int4ExpertsCall<kMatrices>& call) {
    // Where experts have few tokens, a second tile's reading of the weights, from L2, costs less
    // than the registers of two.
    if (a_.tokens <= 16 || picks_ <= std::int64_t{5} * shape_.experts) {
      launch_int4<kDown, kGroup, kMatrices, 1>(call);
    } else {
      launch_int4<kDown, kGroup, kMatrices, 4 / kMatrices>(call);
    }
  }

  template <bool kDown, int kGroup, int kMatrices, int kMost>
  void launch_int4(const Int4ExpertsCall<kMatrices>& call) {
    using Shared = Int4ExpertsShared<kGroup, kMatrices, kMost>;
    auto* const kernel = int4_experts<kGroup, kMatrices, kDown, kMost>;
    const int room = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    const int warps =
        std::min(Shared::kMostWarps, (room - ExpertSchedule::kSharedBytes) / Shared::kWarp);
    const int bytes = warps * Shared::kWarp;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
          "cudaFuncSetAttribute");
    const std::int64_t blocks =
        std::min<std::int64_t>(tiles(kMost * kTileTokens) * call.args.panels, multiprocessors_);
    launch_dependent("int4_experts", kernel,
                     {static_cast<unsigned>(blocks), static_cast<unsigned>(warps * 32),
                      static_cast<std::size_t>(bytes)},
                     stream_, call);
  }

  /// With room for as many tokens of an expert as there may be, up to 32: more registers a thread,
  /// but weights are read once.
  template <bool kDown>
  void launch(const ExpertMatrixArgs& args, const Bf16Panels& weights) {
    if (a_.tokens <= 8) {
      launch_for<kDown, 1>(args, weights);
    } else if (a_.tokens <= 16) {
      launch_for<kDown, 2>(args, weights);
    } else {
      launch_for<kDown, 4>(args, weights);
    }
  }

  template <bool kDown, int kMost>
  void launch_for(const ExpertMatrixArgs& args, const Bf16Panels& weights) {
    const std::int64_t blocks = std::min(tiles(kMost * kTileTokens) * args.panels,
                                         std::int64_t{multiprocessors_} * kResidentBlocks<kMost>);
    launch_dependent("expert_matrix", expert_matrix<kDown, kMost>,
                     {static_cast<unsigned>(blocks), kThreads}, stream_, args, weights);
  }

  template <bool kDown>
  void launch_wide(const ExpertMatrixArgs& args, const Bf16Panels& weights) {
    const auto kernel = wide_expert_matrix<kDown>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(WideTile::kSharedBytes)),
          "cudaFuncSetAttribute");
    const std::int64_t blocks =
        std::min<std::int64_t>(tiles(WideTile::kTokens) * args.panels, multiprocessors_);
    launch_dependent("wide_expert_matrix", kernel,
                     {static_cast<unsigned>(blocks), WideTile::kThreads, WideTile::kSharedBytes},
                     stream_, args, weights);
  }

  /// No fewer than there can be, of so many picks of an expert each.
  std::int64_t tiles(int picks) const {
    return std::min<std::int64_t>(shape_.experts, picks_) + picks_ / picks;
  }

  void sum_up() {
    constexpr int kColumns = 4 * kCombineThreads;
    const dim3 grid(static_cast<unsigned>(a_.tokens),
                    static_cast<unsigned>((shape_.d_model + kColumns - 1) / kColumns));
    launch_dependent("combine", combine, {grid, kCombineThreads}, stream_, workspace_.parts,
                     shape_.padded_model(), a_.expert, a_.weight, a_.slots, shape_.d_model,
                     a_.out_type, a_.out);
  }

  const GroupedExpertsArgs& a_;
  const ExpertLayerShape shape_;
  const cudaStream_t stream_;
  const Workspace workspace_;
  const std::int64_t picks_;
  const int multiprocessors_;
};

}  // namespace

std::size_t grouped_experts_workspace(const ExpertLayerShape& shape, int tokens, int slots) {
  return Workspace(nullptr, shape, tokens, slots).size;
}

void grouped_experts(const GroupedExpertsArgs& args, Stream stream) {
  if (args.tokens == 0) return;
  Launcher(args, stream).run();
}

}  // namespace thermoe::cuda
