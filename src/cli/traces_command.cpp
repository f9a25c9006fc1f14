// SPDX-License-Identifier: Apache-2.0
#include "cli/traces_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/number_option.h"
#include "cli/router_options.h"
#include "cli/router_report.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"
#include "moe/router_logits.h"
#include "run/trace_statistics.h"

namespace thermoe {
namespace {

constexpr int kLargestBatch = 64;  // by itself; more have to be asked for

struct TracesOptions {
  std::string file{};
  StatedRouter given{};
  std::vector<int> batches{};
  int draws = 256;
  std::uint64_t seed = 1;
  bool json = false;
};

/// 1, 2, 4, … as far as the trace goes; or what was asked for, if it goes as far.
std::vector<int> batches_of(const TracesOptions& options, const RouterLogits& trace) {
  const int tokens = token_count(trace);
  for (const int batch : options.batches) {
    if (batch <= tokens) continue;
    throw FormatError(options.file, "router_logits",
                      fmt::format("holds {} tokens, fewer than --batch {}; record more, or ask for "
                                  "a batch of at most {}",
                                  tokens, batch, tokens));
  }
  if (!options.batches.empty()) return options.batches;
  std::vector<int> batches;
  for (int b = 1; b <= std::min(tokens, kLargestBatch); b *= 2) batches.push_back(b);
  return batches;
}

std::string holds_text(const TracesOptions& options, const RouterLogits& trace) {
  const LogitSample& first = trace.samples.front();
  std::string text =
      fmt::format("Trace:  {}: {} samples of {} layers, {:g} tokens{}, {} experts; top-{}\n{}",
                  printable(options.file, true), trace.samples.size(), first.layers,
                  mean_tokens(trace), trace.padding_tokens > 0 ? " on average" : "", first.experts,
                  trace.spec.k, router_text(trace.spec, trace.told, options.given));
  if (trace.padding_tokens > 0) {
    text += fmt::format("        {} tokens of padding were taken out\n", trace.padding_tokens);
  }
  if (trace.look_like_scores) {
    text += "Note: every value lies between 0 and 1: these look like scores, not logits.\n";
  }
  return text;
}

std::string active_text(const TracesOptions& options, const RouterLogits& trace,
                        const TraceStatistics& statistics) {
  std::string text = fmt::format(
      "\nDistinct experts of a layer (D), mean over layers: {} draws of each batch from different "
      "samples\n(seed {}). Uniform: each token picks {} of {} at random.\n"
      "tokens        D  deviation   uniform  D / uniform\n{:-<49}\n",
      options.draws, options.seed, trace.spec.k, trace.samples.front().experts, "");
  for (const ActiveExperts& a : statistics.active) {
    text += fmt::format("{:>6} {:>8.1f} {:>10.2f} {:>9.1f} {:>10.0f} %\n", a.batch, a.mean,
                        a.deviation, a.uniform, 100.0 * a.mean / a.uniform);
  }
  const double tokens = mean_tokens(trace);
  return text + fmt::format("The samples as recorded, {:g} tokens each: D = {:.1f}\n", tokens,
                            statistics.recorded_active);
}

std::string load_text(const TraceStatistics& statistics) {
  std::string text = "\nShares of a token's own top-k probability, best expert first:\n ";
  for (const double share : statistics.shares) text += fmt::format(" {:.3f}", share);
  text +=
      "\n\nLoad of the experts by layer: picks of the busiest over the mean expert's; entropy over "
      "that\nof an even load. Uniform: as many tokens, each with its picks at random.\n"
      "layer    busiest  entropy\n-------------------------\n";
  for (std::size_t l = 0; l < statistics.load.size(); ++l) {
    text += fmt::format("{:<8} {:>7.2f} {:>8.3f}\n", l, statistics.load[l].most,
                        statistics.load[l].entropy);
  }
  return text + fmt::format("{:<8} {:>7.2f} {:>8.3f}\n", "uniform", statistics.uniform_load.most,
                            statistics.uniform_load.entropy);
}

nlohmann::json load_json(const LayerLoad& load) {
  return {{"max_over_mean", load.most}, {"entropy_share", load.entropy}};
}

nlohmann::json traces_json(const TracesOptions& options, const RouterLogits& trace,
                           const TraceStatistics& statistics) {
  const LogitSample& first = trace.samples.front();
  nlohmann::json json = {{"schema", 1},
                         {"trace", options.file},
                         {"samples", trace.samples.size()},
                         {"layers", first.layers},
                         {"tokens", token_count(trace)},
                         {"experts", first.experts},
                         {"k", trace.spec.k},
                         {"score_function", to_string(trace.spec.score)},
                         {"router", router_json(trace.spec, trace.told, options.given)},
                         {"padding_tokens", trace.padding_tokens},
                         {"constant_rows", trace.constant_rows},
                         {"logits_look_like_scores", trace.look_like_scores},
                         {"draws", options.draws},
                         {"seed", options.seed},
                         {"active_experts_recorded", statistics.recorded_active},
                         {"active_experts", nlohmann::json::array()},
                         {"top_k_shares", statistics.shares},
                         {"load", nlohmann::json::array()},
                         {"load_uniform", load_json(statistics.uniform_load)}};
  for (const ActiveExperts& a : statistics.active) {
    json["active_experts"].push_back(
        {{"batch", a.batch}, {"mean", a.mean}, {"deviation", a.deviation}, {"uniform", a.uniform}});
  }
  for (const LayerLoad& load : statistics.load) json["load"].push_back(load_json(load));
  return json;
}

void run(const TracesOptions& options) {
  const RouterLogits trace = read_router_logits(options.file, options.given);
  const TraceStatistics statistics = trace_statistics(
      trace, {.batches = batches_of(options, trace), .draws = options.draws, .seed = options.seed});
  if (options.json) {
    fmt::print("{}\n", json_text(traces_json(options, trace, statistics), 2));
  } else {
    fmt::print("{}{}{}", holds_text(options, trace), active_text(options, trace, statistics),
               load_text(statistics));
  }
}

}  // namespace

void add_traces_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<TracesOptions>();
  CLI::App* command = app.add_subcommand(
      "traces", "Say what a recorded router holds: distinct experts by batch, shares, loads");
  command->add_option("FILE", options->file, "safetensors file of router logits (docs/guide.md)")
      ->required();
  add_pick_options(*command, options->given);
  command
      ->add_option("--batch", options->batches,
                   "Tokens of a drawn batch; may be given several times (default: 1, 2, 4, … 64)")
      ->check(whole_number(1, 1000000))
      ->allow_extra_args(false);
  command->add_option("--draws", options->draws, "Draws of each batch")
      ->check(whole_number(1, 100000))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the draws")
      ->check(whole_number(0))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON instead of tables");
  command->footer(
      "Examples:\n"
      "  thermoe traces runs/logits.safetensors\n"
      "  thermoe traces runs/logits.safetensors --batch 16 --json\n"
      "In decode a layer costs what its distinct experts cost to read: D at the batch that you "
      "serve\nsays what a step costs, and how far D lies below uniform, how skewed the loads are.");
  command->callback([options] { run(*options); });
}

}  // namespace thermoe
