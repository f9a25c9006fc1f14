// SPDX-License-Identifier: Apache-2.0
// Times this library's CUDA and Triton kernels on the current device: bench/README.md.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <optional>
#include <regex>
#include <vector>

#include "cli/interrupt_watch.h"
#include "cli/number_option.h"
#include "cli/out_file.h"
#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/say.h"
#include "kernels/cuda/check.h"
#include "kernels/device_description.h"
#include "result_json.h"
#include "rows.h"
#include "run_rows.h"

namespace thermoe::bench {
namespace {

constexpr int kBadInput = 2;

struct Flags {
  std::string filter{};
  std::string out{};
  RunFacts facts{};
  RunOptions options{};
  bool list = false;
  double energy_seconds = 0.0;
  std::string energy_filter{};
  int calls = 0;  // only so many of each row; 0: times them
};

void add_flags(CLI::App& app, Flags& flags) {
  app.description("Times thermoe's GPU kernels: calls captured into graphs, rows in rounds.");
  app.add_option("--filter", flags.filter,
                 "Only rows whose name (--list) matches this regex; the reads that floors follow "
                 "from always run");
  app.add_flag("--list", flags.list, "Print the rows' names and end");
  app.add_option("--out", flags.out, "Write the results here, as JSON, after each round");
  app.add_option("--rounds", flags.options.rounds, "Times that all rows are gone through")
      ->check(whole_number(1, 1000))
      ->capture_default_str();
  app.add_option("--replays", flags.options.replays, "Replays timed in each round")
      ->check(whole_number(1, 1000))
      ->capture_default_str();
  app.add_option("--energy", flags.energy_seconds, "Measure joules too, over so many seconds a row")
      ->expected(0, 1)
      ->default_str("1")
      ->check(real_number(0.1, 600.0));
  app.add_option("--energy-filter", flags.energy_filter, "Joules of such rows only");
  app.add_option("--calls", flags.calls,
                 "Time nothing: only run so many calls of each row, for a profiler")
      ->check(whole_number(1, 1000000));
  app.add_option("--commit", flags.facts.commit, "What was built, for the results");
  app.add_option("--torch", flags.facts.torch, "The version of torch beside, for the results");
}

std::vector<Row> op_rows() {
  std::vector<Row> all;
  for (const auto rows : {empty_kernel_rows, topk_route_rows, grouped_experts_rows,
                          fused_dequant_linear_rows, permute_combine_rows}) {
    for (Row& row : rows()) all.push_back(std::move(row));
  }
  return all;
}

std::regex regex_of(const char* flag, const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error& error) {
    throw UsageError(fmt::format("{} {}: no regular expression: {}", flag, text, error.what()));
  }
}

std::vector<Row> chosen_rows(const Flags& flags) {
  std::vector<Row> rows;
  if (flags.calls == 0) rows = read_rows();
  const std::regex wanted = regex_of("--filter", flags.filter);
  for (Row& row : op_rows()) {
    if (std::regex_search(name_of(row), wanted)) rows.push_back(std::move(row));
  }
  return rows;
}

RunFacts facts_here(const Flags& flags, const GpuMeter& meter) {
  RunFacts facts = flags.facts;
  int version = 0;
  cuda::check(cudaRuntimeGetVersion(&version), "cudaRuntimeGetVersion");
  facts.device = describe_device().name;
  facts.driver = meter.driver();
  facts.cuda = fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  return facts;
}

void print(const nlohmann::ordered_json& json, const RunResult& run) {
  fmt::print("{}, driver {}, reads {:.3f} TB/s{}\n", json["device"].get<std::string>(),
             json["driver"].is_null() ? "unknown" : json["driver"].get<std::string>(),
             json["bytes_per_second"].get<double>() / 1e12, run.complete ? "" : ", interrupted");
  fmt::print("{:>10} {:>10} {:>10} {:>10} {:>7} {:>10} {:>6}  {}\n", "median us", "p10", "p90",
             "floor", "x", "mJ", "W", "row");
  for (std::size_t i = 0; i < run.rows.size(); ++i) {
    const auto& row = json["rows"][i];
    const auto number = [&](const char* key, double scale, int places) {
      return row[key].is_null() ? "-"
                                : fmt::format("{:.{}f}", scale * row[key].get<double>(), places);
    };
    const bool has_floor = !row["floor_us"].is_null();
    fmt::print("{:>10} {:>10} {:>10} {:>10} {:>7} {:>10} {:>6}  {}\n", number("median_us", 1.0, 3),
               number("p10_us", 1.0, 3), number("p90_us", 1.0, 3), number("floor_us", 1.0, 3),
               has_floor ? fmt::format("{:.2f}", row["median_us"].get<double>() /
                                                     row["floor_us"].get<double>())
                         : "-",
               number("joules", 1000.0, 4), number("watts", 1.0, 0), name_of(run.rows[i].row));
  }
}

int run(const Flags& flags, const std::vector<Row>& rows) {
  if (const auto problem = device_problem()) throw UsageError(*problem);
  if (flags.calls > 0) return call_rows(rows, flags.calls), 0;
  if (!flags.out.empty()) check_out_file(flags.out);
  std::atomic<bool> stop{false};
  const InterruptWatch interrupts(stop);
  GpuMeter meter;
  if (meter.problem()) say(fmt::format("gpu_bench: no clocks and joules: {}\n", *meter.problem()));
  const RunFacts facts = facts_here(flags, meter);
  const auto write = [&](const RunResult& result) {
    if (flags.out.empty()) return;
    write_file_atomically(flags.out, json_text(result_json(facts, result), 1) + "\n");
  };
  const RunResult result = run_rows(rows, flags.options, meter, stop, write);
  write(result);
  print(result_json(facts, result), result);
  for (const std::string& row : result.left_out) say(fmt::format("gpu_bench: left out: {}\n", row));
  return result.complete && result.left_out.empty() ? 0 : 1;
}

int start(int argc, char** argv) {
  CLI::App app;
  Flags flags;
  add_flags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadInput;
  }
  if (app.count("--energy") > 0) flags.options.energy_window = Seconds(flags.energy_seconds);
  flags.options.energy_rows = regex_of("--energy-filter", flags.energy_filter);
  flags.facts.command = fmt::format("{}", fmt::join(argv, argv + argc, " "));
  const std::vector<Row> rows = chosen_rows(flags);
  if (!flags.list) return run(flags, rows);
  for (const Row& row : rows) fmt::print("{}\n", name_of(row));
  return 0;
}

}  // namespace
}  // namespace thermoe::bench

int main(int argc, char** argv) {
  try {
    return thermoe::bench::start(argc, argv);
  } catch (const thermoe::UsageError& error) {
    thermoe::say(fmt::format("gpu_bench: {}\n", error.what()));
    return thermoe::bench::kBadInput;
  } catch (const std::exception& error) {
    thermoe::say(fmt::format("gpu_bench: {}\n", error.what()));
    return 1;
  }
}
