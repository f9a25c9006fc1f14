// SPDX-License-Identifier: Apache-2.0
#include "core/controller_state.h"

#include "core/named_values.h"

namespace thermoe {
namespace {

constexpr NamedValues<PeriodLimit, 7> kPeriodLimits{{
    {PeriodLimit::kStepTime, "step_time"},
    {PeriodLimit::kLatency, "latency"},
    {PeriodLimit::kSaving, "saving"},
    {PeriodLimit::kBatchLimit, "batch_limit"},
    {PeriodLimit::kFirstToken, "first_token"},
    {PeriodLimit::kObjective, "objective"},
    {PeriodLimit::kCap, "cap"},
}};

}  // namespace

std::string_view to_string(PeriodLimit limit) { return name_of(kPeriodLimits, limit); }

}  // namespace thermoe
