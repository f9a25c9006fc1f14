// SPDX-License-Identifier: Apache-2.0
// The simulated engine against vLLM, row by row: docs/serving.md has the command.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/errors.h"
#include "vllm_serving.h"

namespace thermoe {
namespace {

constexpr Seconds kLength{3000.0};

struct Variant {
  const char* name;
  VllmPhysics physics;
};
const std::vector<Variant> kVariants = {
    {"as fitted", {}},
    {"time between steps by sequences, padding rows apart",
     {.between = VllmPhysics::Between::kBySequences}},
    {"time between steps that of 16 sequences, whatever the batch",
     {.between = VllmPhysics::Between::kOf16}},
    {"idle that of 50 °C at every temperature", {.idle_by_temperature = false}},
    {"graphs of every size: no padding rows", {.padding = false}}};

struct Compared {
  std::vector<SimulatedRow> rows{};
  std::vector<double> power{};   // relative errors
  std::vector<double> period{};  // likewise
};

Compared compare(const VllmServing& serving, const VllmPhysics& physics) {
  Compared out;
  for (const VllmRow& row : serving.rows()) {
    const SimulatedRow made = serving.simulate(row, kLength, physics);
    out.rows.push_back(made);
    out.power.push_back(made.power / row.power - 1.0);
    out.period.push_back(made.step_period / row.step_period() - 1.0);
  }
  return out;
}

double rounded(double value) { return std::stod(fmt::format("{:.4g}", value)); }

nlohmann::ordered_json row_json(const VllmRow& row, const SimulatedRow& made) {
  const auto pair = [](double measured, double simulated) {
    return nlohmann::ordered_json{{"measured", rounded(measured)},
                                  {"simulated", rounded(simulated)}};
  };
  nlohmann::ordered_json json = {{"allowed_experts", row.allowed},
                                 {"period_ms", 1e3 * row.period.value},
                                 {"temperature_c", row.temperature.value}};
  json["tokens_per_s"] = pair(row.tokens_per_s, made.tokens_per_s);
  json["power_w"] = pair(row.power.value, made.power.value);
  json["power_w"]["error"] = rounded(made.power / row.power - 1.0);
  json["power_w"]["spread_of_17_s"] = rounded(made.window_spread.value);
  json["step_period_ms"] = pair(1e3 * row.step_period().value, 1e3 * made.step_period.value);
  json["step_period_ms"]["error"] = rounded(made.step_period / row.step_period() - 1.0);
  json["step_period_ms"]["spread_of_17_s"] = rounded(1e3 * made.period_spread.value);
  json["batch"] = pair(row.batch, made.batch);
  json["gap_p50_ms"] = pair(1e3 * row.gap_p50.value, 1e3 * made.gap_p50.value);
  json["gap_p99_ms"] = pair(1e3 * row.gap_p99.value, 1e3 * made.gap_p99.value);
  return json;
}

nlohmann::ordered_json summary_json(const Compared& compared) {
  const ErrorSummary power = summary(compared.power), period = summary(compared.period);
  return {{"power_median", rounded(power.median)},
          {"power_worst", rounded(power.worst)},
          {"step_period_median", rounded(period.median)},
          {"step_period_worst", rounded(period.worst)}};
}

std::string table(const VllmServing& serving, const Compared& compared) {
  std::string text =
      "| row | experts allowed | period, ms | tokens/s | W, vLLM | simulated | error | 17 s "
      "windows | "
      "mean step period, ms, vLLM | simulated | error | 17 s windows | batch, vLLM | simulated | "
      "gap p50, ms, vLLM | simulated | gap p99, ms, vLLM | simulated |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < compared.rows.size(); ++i) {
    const VllmRow& row = serving.rows()[i];
    const SimulatedRow& made = compared.rows[i];
    text += fmt::format(
        "| {} | {} | {:g} | {:.0f} | {:.1f} | {:.1f} | {:+.1f} % | ±{:.0f} | {:.2f} | {:.2f} | "
        "{:+.1f} % | ±{:.2f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} |\n",
        i + 1, row.allowed, 1e3 * row.period.value, row.tokens_per_s, row.power.value,
        made.power.value, 100.0 * compared.power[i], made.window_spread.value,
        1e3 * row.step_period().value, 1e3 * made.step_period.value, 100.0 * compared.period[i],
        1e3 * made.period_spread.value, row.batch, made.batch, 1e3 * row.gap_p50.value,
        1e3 * made.gap_p50.value, 1e3 * row.gap_p99.value, 1e3 * made.gap_p99.value);
  }
  return text;
}

std::string summary_line(const char* name, const Compared& compared) {
  const ErrorSummary power = summary(compared.power), period = summary(compared.period);
  return fmt::format("| {} | {:.1f} % | {:.1f} % | {:.1f} % | {:.1f} % |\n", name,
                     100.0 * power.median, 100.0 * power.worst, 100.0 * period.median,
                     100.0 * period.worst);
}

void write(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  if (!out.flush()) throw WriteError(path + ": cannot be written");
}

void run(const std::string& data, const std::string& out) {
  const VllmServing serving(data + "/");
  std::string lines, rows;
  nlohmann::ordered_json json = {
      {"what",
       "simulated: an engine with continuous batching on the simulated GPU, against vLLM "
       "0.25.1 on an H100 (vllm_arrivals.json); costs fitted to vllm_steering.json alone"},
      {"seconds_a_row", kLength.value},
      {"skew", serving.skew()}};
  for (const auto& a : serving.active()) {
    json["active_experts"].push_back({{"allowed", a.allowed},
                                      {"measured", rounded(a.measured)},
                                      {"synthetic", rounded(a.synthetic)}});
  }
  for (const Variant& variant : kVariants) {
    const Compared compared = compare(serving, variant.physics);
    nlohmann::ordered_json entry = {{"variant", variant.name}};
    entry.update(summary_json(compared));
    json["errors"].push_back(entry);
    lines += summary_line(variant.name, compared);
    if (!rows.empty()) continue;
    rows = table(serving, compared);
    for (std::size_t i = 0; i < compared.rows.size(); ++i) {
      json["rows"].push_back(row_json(serving.rows()[i], compared.rows[i]));
    }
  }
  const std::string head =
      "# The simulated engine against vLLM\n\n"
      "Simulated figures beside those that were measured on an H100; written by "
      "`serving_validation data/h100 docs/results/serving-validation`. [serving.md](../serving.md) "
      "says what is simulated, and what the errors come from.\n\n"
      "| costs | median error, W | worst | median error, mean step period | worst |\n"
      "|---|---|---|---|---|\n";
  write(out + ".json", json.dump(1) + "\n");
  write(out + ".md",
        head + lines +
            "\nRows of the first line. \"17 s windows\": standard deviation of windows as long as "
            "the record's, by their arrivals alone.\n\n" +
            rows);
  fmt::print("{}", lines);
}

}  // namespace
}  // namespace thermoe

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: serving_validation DATA_FOLDER OUT (without .json, .md)\n");
    return 2;
  }
  try {
    thermoe::run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "serving_validation: {}\n", error.what());
    return 1;
  }
  return 0;
}
