// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "kernels/backend.h"
#include "tensor.h"

/// The ops on tensors: they check what they are given, let torch allocate outputs and workspaces,
/// and call the kernel of src/kernels whose name they have; it says what is computed. On a device
/// they run in torch's current stream, do not synchronise and can be captured in a graph. An
/// argument that is wrong: PreconditionError; a backend that this package lacks: UsageError, with
/// the remedy.
namespace thermoe::torch_ops {

struct RouterArguments {
  std::int64_t k = 0;
  OptionalTensor beta{};  ///< [experts] f32
  std::string score{};
  std::int64_t groups = 1;
  std::int64_t groups_kept = 1;
  std::string denominator{};
  double scale = 1.0;
  std::string loss_scores{};
};

struct PlanArguments {
  OptionalTensor block{};  ///< [RoutingPlan::byte_size(layers, experts)] u8
  std::int64_t layers = 0;
  std::int64_t layer = 0;
  OptionalTensor step{};  ///< a StepState as int32 [4]
};

/// weights [tokens, slots] f32, ids [tokens, slots] i32, counts [experts] i32, kept mass [tokens]
/// f32.
using RouteOutputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;
/// masked logits [tokens, experts] f32, counts, kept mass.
using MaskedOutputs = std::tuple<Tensor, Tensor, Tensor>;

/// logits [tokens, experts] f32, bf16 or f16. slots: k where absent.
RouteOutputs topk_route(Backend backend, const Tensor& logits, const RouterArguments& router,
                        const PlanArguments& plan, std::optional<std::int64_t> slots,
                        bool fill_slots);
MaskedOutputs topk_route_masked(Backend backend, const Tensor& logits,
                                const RouterArguments& router, const PlanArguments& plan,
                                std::optional<std::int64_t> slots);

/// What an engine with captured graphs keeps at fixed addresses, and a call writes.
struct EngineBuffers {
  Tensor counts;             ///< [experts] i32
  OptionalTensor samples{};  ///< [2, rows, experts] in the logits' type; slots may lie apart
  OptionalTensor slot{};     ///< [1] i32: which of them, read where the op runs
};
/// weights [tokens, k] f32, ids [tokens, k] i32.
using EngineOutputs = std::tuple<Tensor, Tensor>;

/// topk_route with k slots, all filled; the rest goes to the buffers.
EngineOutputs topk_route_into(Backend backend, const Tensor& logits, const RouterArguments& router,
                              const PlanArguments& plan, const EngineBuffers& buffers);

/// The picks of a batch: ids and weights of topk_route, or any others.
struct Picks {
  Tensor weights;
  Tensor ids;
};

/// Experts in panels of 16 outputs, as ExpertBank lays them: f32 [experts, panels, inputs, 16], or
/// bf16 [experts, panels, (inputs + 1) / 2, 16, 2].
struct PanelArguments {
  OptionalTensor gate{};  ///< swiglu only
  Tensor up;
  Tensor down;
};

/// One int4 matrix [outputs, inputs] of docs/adr/0004-int4-layout.md, or with `experts` before each
/// array's sizes, one of each expert. u32 words are int32 in torch.
struct Int4Arguments {
  Tensor words;
  Tensor scales;
  OptionalTensor zero_points{};
};

struct ExpertsArguments {
  std::string kind{};          ///< swiglu, relu, gelu
  std::int64_t d_ff = 0;       ///< before it was padded to whole panels
  OptionalTensor up_bias{};    ///< [experts, padded d_ff] f32
  OptionalTensor down_bias{};  ///< [experts, padded d_model] f32
};

/// hidden [tokens, d_model]; the result has its type. On the CPU f32 only.
Tensor grouped_experts(Backend backend, const Tensor& hidden, const Picks& picks,
                       const PanelArguments& weights, const ExpertsArguments& experts);
Tensor grouped_experts_int4(Backend backend, const Tensor& hidden, const Picks& picks,
                            const std::optional<Int4Arguments>& gate, const Int4Arguments& up,
                            const Int4Arguments& down, const ExpertsArguments& experts);

/// What follows y = x W^T + bias. `up` of silu_mul only.
struct EpilogueArguments {
  std::string name{};  ///< none, relu, gelu, silu_mul
  std::optional<Int4Arguments> up{};
  OptionalTensor up_bias{};
};

/// x [tokens, inputs]; the result [tokens, outputs] has its type.
Tensor fused_dequant_linear(Backend backend, const Tensor& x, const Int4Arguments& weights,
                            std::int64_t outputs, const OptionalTensor& bias,
                            const EpilogueArguments& epilogue);

}  // namespace thermoe::torch_ops
