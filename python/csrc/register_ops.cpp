// SPDX-License-Identifier: Apache-2.0
// Makes the ops known to torch when this library is loaded: torch.ops.load_library, which
// thermoe.ops does.
#include "boxed.h"
#include "device_call.h"
#include "ops.h"

namespace thermoe::torch_ops {
namespace {

#define THERMOE_ROUTER_SCHEMA "Tensor logits, int k, *, " THERMOE_ROUTING_SCHEMA ", int? slots=None"
#define THERMOE_ROUTING_SCHEMA                                                                     \
  "Tensor? beta=None, str score=\"softmax\", int groups=1, "                                       \
  "int groups_kept=1, str denominator=\"picked\", float scale=1.0, str loss_scores=\"unbiased\", " \
  "Tensor? plan=None, int layers=0, int layer=0, Tensor? step=None"
#define THERMOE_EXPERTS_SCHEMA \
  "int d_ff, str kind=\"swiglu\", Tensor? up_bias=None, Tensor? down_bias=None"

constexpr const char* kSchemas[] = {
    "topk_route(" THERMOE_ROUTER_SCHEMA
    ", bool fill_slots=False) -> "
    "(Tensor weights, Tensor ids, Tensor counts, Tensor kept_mass)",
    "topk_route.masked(" THERMOE_ROUTER_SCHEMA
    ") -> (Tensor masked_logits, Tensor counts, Tensor kept_mass)",
    // What it writes beside its results has to be named here, or a compiler may leave it out.
    "topk_route.into(Tensor logits, int k, Tensor(a!) counts, *, " THERMOE_ROUTING_SCHEMA
    ", Tensor(b!)? samples=None, Tensor? slot=None) -> (Tensor weights, Tensor ids)",
    "grouped_experts(Tensor hidden, Tensor weights, Tensor ids, Tensor? gate, Tensor up, Tensor "
    "down, *, " THERMOE_EXPERTS_SCHEMA ") -> Tensor",
    "grouped_experts.int4(Tensor hidden, Tensor weights, Tensor ids, Tensor? gate_words, Tensor? "
    "gate_scales, "
    "Tensor? gate_zero_points, Tensor up_words, Tensor up_scales, Tensor? up_zero_points, Tensor "
    "down_words, "
    "Tensor down_scales, Tensor? down_zero_points, *, " THERMOE_EXPERTS_SCHEMA ") -> Tensor",
    "fused_dequant_linear(Tensor x, Tensor words, Tensor scales, Tensor? zero_points, int outputs, "
    "*, "
    "Tensor? bias=None, str epilogue=\"none\", Tensor? up_words=None, Tensor? up_scales=None, "
    "Tensor? up_zero_points=None, Tensor? up_bias=None) -> Tensor",
};

template <Backend kBackend>
RouteOutputs route(Tensor logits, std::int64_t k, OptionalTensor beta, std::string score,
                   std::int64_t groups, std::int64_t groups_kept, std::string denominator,
                   double scale, std::string loss_scores, OptionalTensor plan, std::int64_t layers,
                   std::int64_t layer, OptionalTensor step, std::optional<std::int64_t> slots,
                   bool fill_slots) {
  return topk_route(kBackend, logits,
                    {k, std::move(beta), std::move(score), groups, groups_kept,
                     std::move(denominator), scale, std::move(loss_scores)},
                    {std::move(plan), layers, layer, std::move(step)}, slots, fill_slots);
}

template <Backend kBackend>
MaskedOutputs route_masked(Tensor logits, std::int64_t k, OptionalTensor beta, std::string score,
                           std::int64_t groups, std::int64_t groups_kept, std::string denominator,
                           double scale, std::string loss_scores, OptionalTensor plan,
                           std::int64_t layers, std::int64_t layer, OptionalTensor step,
                           std::optional<std::int64_t> slots) {
  return topk_route_masked(kBackend, logits,
                           {k, std::move(beta), std::move(score), groups, groups_kept,
                            std::move(denominator), scale, std::move(loss_scores)},
                           {std::move(plan), layers, layer, std::move(step)}, slots);
}

template <Backend kBackend>
EngineOutputs route_into(Tensor logits, std::int64_t k, Tensor counts, OptionalTensor beta,
                         std::string score, std::int64_t groups, std::int64_t groups_kept,
                         std::string denominator, double scale, std::string loss_scores,
                         OptionalTensor plan, std::int64_t layers, std::int64_t layer,
                         OptionalTensor step, OptionalTensor samples, OptionalTensor slot) {
  return topk_route_into(kBackend, logits,
                         {k, std::move(beta), std::move(score), groups, groups_kept,
                          std::move(denominator), scale, std::move(loss_scores)},
                         {std::move(plan), layers, layer, std::move(step)},
                         {std::move(counts), std::move(samples), std::move(slot)});
}

template <Backend kBackend>
Tensor experts(Tensor hidden, Tensor weights, Tensor ids, OptionalTensor gate, Tensor up,
               Tensor down, std::int64_t d_ff, std::string kind, OptionalTensor up_bias,
               OptionalTensor down_bias) {
  return grouped_experts(kBackend, hidden, {std::move(weights), std::move(ids)},
                         {std::move(gate), std::move(up), std::move(down)},
                         {std::move(kind), d_ff, std::move(up_bias), std::move(down_bias)});
}

/// Words without scales, or scales without words, are half a matrix.
std::optional<Int4Arguments> optional_int4(const char* name, OptionalTensor words,
                                           OptionalTensor scales, OptionalTensor zero_points) {
  THERMOE_EXPECT(words.has_value() == scales.has_value() && (words || !zero_points),
                 "{0}words, {0}scales and {0}zero_points belong together", name);
  if (!words) return std::nullopt;
  return Int4Arguments{std::move(*words), std::move(*scales), std::move(zero_points)};
}

template <Backend kBackend>
Tensor experts_int4(Tensor hidden, Tensor weights, Tensor ids, OptionalTensor gate_words,
                    OptionalTensor gate_scales, OptionalTensor gate_zero_points, Tensor up_words,
                    Tensor up_scales, OptionalTensor up_zero_points, Tensor down_words,
                    Tensor down_scales, OptionalTensor down_zero_points, std::int64_t d_ff,
                    std::string kind, OptionalTensor up_bias, OptionalTensor down_bias) {
  const auto gate = optional_int4("gate_", std::move(gate_words), std::move(gate_scales),
                                  std::move(gate_zero_points));
  return grouped_experts_int4(
      kBackend, hidden, {std::move(weights), std::move(ids)}, gate,
      {std::move(up_words), std::move(up_scales), std::move(up_zero_points)},
      {std::move(down_words), std::move(down_scales), std::move(down_zero_points)},
      {std::move(kind), d_ff, std::move(up_bias), std::move(down_bias)});
}

template <Backend kBackend>
Tensor linear(Tensor x, Tensor words, Tensor scales, OptionalTensor zero_points,
              std::int64_t outputs, OptionalTensor bias, std::string epilogue,
              OptionalTensor up_words, OptionalTensor up_scales, OptionalTensor up_zero_points,
              OptionalTensor up_bias) {
  EpilogueArguments then{
      std::move(epilogue),
      optional_int4("up_", std::move(up_words), std::move(up_scales), std::move(up_zero_points)),
      std::move(up_bias)};
  return fused_dequant_linear(kBackend, x,
                              {std::move(words), std::move(scales), std::move(zero_points)},
                              outputs, bias, then);
}

/// Registered while it lives: until the library is unloaded.
class Library {
 public:
  Library() {
    check(aoti_torch_library_init_def("thermoe", __FILE__, __LINE__, &handle_), "library_init_def");
  }
  explicit Library(const char* dispatch_key) {
    check(aoti_torch_library_init_impl("thermoe", dispatch_key, __FILE__, __LINE__, &handle_),
          "library_init_impl");
  }
  ~Library() { aoti_torch_delete_library_object(handle_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  void define(const char* schema) { check(aoti_torch_library_def(handle_, schema), "library_def"); }
  void implement(const char* name, void (*boxed)(StableIValue*, std::uint64_t, std::uint64_t)) {
    check(torch_library_impl(handle_, name, boxed, kAbiVersion), "torch_library_impl");
  }

 private:
  TorchLibraryHandle handle_ = nullptr;
};

template <Backend kBackend>
void implement_all(Library& library) {
  library.implement("topk_route", Boxed<&route<kBackend>>::call);
  library.implement("topk_route.masked", Boxed<&route_masked<kBackend>>::call);
  library.implement("topk_route.into", Boxed<&route_into<kBackend>>::call);
  library.implement("grouped_experts", Boxed<&experts<kBackend>>::call);
  library.implement("grouped_experts.int4", Boxed<&experts_int4<kBackend>>::call);
  library.implement("fused_dequant_linear", Boxed<&linear<kBackend>>::call);
}

struct Registered {
  Registered() {
    for (const char* schema : kSchemas) ops.define(schema);
    implement_all<Backend::kCpu>(on_cpu);
    // Without CUDA too: then they say so.
    implement_all<Backend::kCuda>(on_cuda);
  }
  Library ops;
  Library on_cpu{"CPU"};
  Library on_cuda{"CUDA"};
};
const Registered registered;

}  // namespace
}  // namespace thermoe::torch_ops
