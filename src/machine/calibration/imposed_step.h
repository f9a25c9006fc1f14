// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>

#include "core/router_spec.h"
#include "machine/gpu/step_load.h"

namespace thermoe {

/// Of a decode step whose number of distinct experts is imposed.
struct ImposedStep {
  int layers = 0;  ///< of the model
  int tokens = 0;
  int active = 0;             ///< of every layer, k..min(experts, tokens * k)
  int variant = 0;            ///< of all experts
  std::uint64_t version = 1;  ///< of the plan
};

/// A step that the baseline router sends to exactly `active` experts of each layer, drawn anew for
/// each, with loads as random picks have them: every token's logits are numbers for k of them and
/// NaN, which no router picks, for all others. Where the router limits a token to groups, the
/// experts lie in as few groups as hold them, and fewer may be met.
StagedStep imposed_step(const RouterSpec& router, const ImposedStep& step, std::mt19937_64& random);

}  // namespace thermoe
