// SPDX-License-Identifier: Apache-2.0
// What stands for NVTX and CUPTI in a program that was built without CUDA.
#include "profile/record/cupti_activity.h"
#include "profile/record/nvtx_range.h"

namespace thermoe {

NvtxRange::NvtxRange(const std::string& /*name*/) {}
NvtxRange::~NvtxRange() = default;

struct CuptiActivity::Api {};
CuptiActivity::CuptiActivity(const std::string& /*library*/)
    : problem_("this program was built without CUDA; build with the preset cuda-release") {}
CuptiActivity::~CuptiActivity() = default;
void CuptiActivity::begin_execution(std::uint64_t /*execution*/) {}
void CuptiActivity::end_execution() {}
std::vector<CuptiKernel> CuptiActivity::take() { return {}; }

}  // namespace thermoe
