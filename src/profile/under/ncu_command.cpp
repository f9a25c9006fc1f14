// SPDX-License-Identifier: Apache-2.0
#include "profile/under/ncu_command.h"

#include <fmt/format.h>

#include "profile/parse_options.h"

namespace thermoe {
namespace {

/// Numbers as the parser reads them, whatever the user's locale.
ToolStep print_page(const std::string& program, const std::string& report, const char* page,
                    const std::string& into) {
  return {.words = {"env", "LC_ALL=C", program, "--import", report, "--csv", "--page", page,
                    "--print-units", "base"},
          .into = into};
}

}  // namespace

ToolPlan plan_ncu(const NcuRequest& request) {
  ToolPlan plan{.report = request.base + ".ncu-rep",
                .converted = {request.base + "-raw.csv", request.base + "-details.csv"}};
  plan.profile.words = {request.program, "--nvtx", "--nvtx-include",
                        // A slash at the end: ranges that are pushed and popped.
                        fmt::format("regex:{}@.*/", kOwnDomain), "--replay-mode",
                        request.replay == NcuReplay::kKernel ? "kernel" : "application",
                        "--target-processes", "all",
                        // Everything else here runs at the GPU's own clocks, and leaves them alone.
                        "--clock-control", "none", "--force-overwrite", "--export", request.base};
  plan.profile.words.insert(plan.profile.words.end(), request.child.begin(), request.child.end());
  plan.conversions = {print_page(request.program, plan.report, "raw", plan.converted[0]),
                      print_page(request.program, plan.report, "details", plan.converted[1])};
  return plan;
}

}  // namespace thermoe
