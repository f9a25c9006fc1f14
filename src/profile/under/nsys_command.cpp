// SPDX-License-Identifier: Apache-2.0
#include "profile/under/nsys_command.h"

#include <fmt/format.h>

#include <sstream>

#include "core/program_output.h"
#include "core/readable.h"
#include "core/terminal_text.h"
#include "profile/parse_options.h"

namespace thermoe {
namespace {

/// nsys samples at 10 kHz by itself, 30 counters each time: eight minutes would be gigabytes of
/// rows, and nothing here is told from so fine a grid.
constexpr int kSamplesPerSecond = 100;

}  // namespace

ToolPlan plan_nsys(const NsysRequest& request) {
  ToolPlan plan{.report = request.base + ".nsys-rep", .converted = {request.base + ".sqlite"}};
  plan.profile.words = {
      request.program,
      "profile",
      "--trace=cuda,nvtx",
      fmt::format("--nvtx-domain-include={}", kOwnDomain),
      "--cuda-graph-trace=node",
      "--sample=none",  // of the CPU: needs permissions and tells no kernel's time
      "--cpuctxsw=none",
      "--force-overwrite=true",
      fmt::format("--output={}", request.base)};
  if (request.gpu_metrics) {
    plan.profile.words.push_back(*request.gpu_metrics);
    plan.profile.words.push_back(fmt::format("--gpu-metrics-frequency={}", kSamplesPerSecond));
  }
  plan.profile.words.insert(plan.profile.words.end(), request.child.begin(), request.child.end());
  plan.conversions = {{.words = {request.program, "export", "--type=sqlite", "--quiet=true",
                                 "--force-overwrite=true",
                                 fmt::format("--output={}", plan.converted.front()), plan.report}}};
  return plan;
}

GpuMetricsAnswer ask_gpu_metrics(const ProgramPlaces& places, const std::string& nsys) {
  GpuMetricsAnswer answer{.why_not = "it does not say"};
  for (const char* option :
       {"--gpu-metrics-devices", "--gpu-metrics-device"}) {  // since 2024, before
    const ProgramOutput output =
        run_program({nsys, "profile", fmt::format("{}=help", option)},
                    {.environment = places.environment, .patience = places.patience});
    // "Possible ... values are:", then a line for each GPU and "all: Select all supported GPUs", or
    // why there are none.
    std::istringstream lines(output.out + output.err);
    std::string why;
    bool offers_all = false;
    for (std::string line; std::getline(lines, line);) {
      line = trimmed(line);
      if (line.starts_with("all:")) offers_all = true;
      if (line.empty() || line.starts_with("Possible ") || line.starts_with("unrecogni")) continue;
      if (why.empty()) why = line;
      if (line.find("nsufficient privilege") != std::string::npos) why = line;
    }
    if (output.succeeded() && offers_all) {
      return {.option = fmt::format("{}=all", option)};
    }
    const bool denied = why.find("nsufficient privilege") != std::string::npos;
    if (denied || (output.succeeded() && !why.empty())) answer.why_not = printable(why, true);
  }
  return answer;
}

}  // namespace thermoe
