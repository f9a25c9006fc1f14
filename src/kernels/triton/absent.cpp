// SPDX-License-Identifier: Apache-2.0
// What stands for the backend triton in a program that was built without it.
#include "core/errors.h"
#include "kernels/triton/backends.h"

namespace thermoe::triton {
namespace {

constexpr const char* kAbsent =
    "the Triton kernels are not built into this program; run `tools/setup --triton`, then build "
    "with the preset cuda-release";

}  // namespace

std::optional<std::string> problem() { return kAbsent; }
void prepare() { throw UsageError(kAbsent); }
void fused_dequant_linear(const FusedDequantLinearArgs&, Stream) { throw UsageError(kAbsent); }
void topk_route(const TopkRouteArgs&, Stream) { throw UsageError(kAbsent); }

}  // namespace thermoe::triton
