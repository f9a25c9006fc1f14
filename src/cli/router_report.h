// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "moe/stated_router.h"

namespace thermoe {

/// A router as text and JSON, and who says so: flags (`given`), the logit file (`told`), or nobody,
/// so that it is assumed.
std::string router_text(const RouterSpec& router, const StatedRouter& told,
                        const StatedRouter& given);
nlohmann::json router_json(const RouterSpec& router, const StatedRouter& told,
                           const StatedRouter& given);

}  // namespace thermoe
