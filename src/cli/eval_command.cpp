// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/number_option.h"
#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "moe/decoder.h"
#include "moe/evaluation.h"
#include "run/document_text.h"

namespace thermoe {
namespace {

struct EvalOptions {
  std::string model = "model/thermoe-e128.safetensors";
  std::string text = "data/text/heldout.bin";
  std::string index = "data/text/heldout.json";
  std::string experts{to_string(ExpertType::kSimple)};
  std::string out{};  ///< file for the figures
  bool json = false;  ///< figures as JSON on stdout, tables on stderr
  bool domains = true;
  bool policies = true;
  int rows = 16;
  int length = 513;
  int batches = 4;
  std::uint64_t seed = 1;
  int k_min = 1;
  std::vector<double> cuts{15.0, 25.0, 35.0, 45.0, 50.0, 55.0};  // percent of D
};

std::vector<DomainText> by_domain(const DocumentText& text) {
  std::vector<DomainText> domains(text.domains().size());
  for (std::size_t d = 0; d < domains.size(); ++d) domains[d].name = text.domains()[d];
  for (const auto& document : text.documents()) {
    domains[static_cast<std::size_t>(document.domain)].documents.push_back(text.bytes(document));
  }
  return domains;
}

nlohmann::json evaluate_domains(SequenceScorer& scorer, const std::vector<DomainText>& text,
                                std::FILE* tables) {
  const auto scores = score_domains(scorer, text, [](double share) {
    say(fmt::format("\rscoring every byte: {:3.0f} %", 100.0 * share));
  });
  say("\n");
  nlohmann::json out = {{"domains", nlohmann::json::array()}};
  double bits = 0.0;
  std::int64_t bytes = 0;
  fmt::print(tables, "{:<14} {:>10} {:>10}\n", "domain", "bytes", "bits/byte");
  for (const DomainScore& s : scores) {
    fmt::print(tables, "{:<14} {:>10} {:>10.4f}\n", printable(s.name, true), s.bytes,
               s.bits_per_byte);
    out["domains"].push_back(
        {{"name", s.name}, {"bytes", s.bytes}, {"bits_per_byte", s.bits_per_byte}});
    bits += s.bits_per_byte * static_cast<double>(s.bytes);
    bytes += s.bytes;
  }
  const double mean = bytes > 0 ? bits / static_cast<double>(bytes) : 0.0;
  fmt::print(tables, "{:<14} {:>10} {:>10.4f}\n\n", "all", bytes, mean);
  out["bytes"] = bytes;
  out["bits_per_byte"] = mean;
  return out;
}

/// Prints and records one policy against the baseline.
nlohmann::json policy_row(const std::string& name, double knob, const SequenceScore& s,
                          const SequenceScore& baseline, std::FILE* tables) {
  const double loss = 100.0 * (s.bits_per_byte / baseline.bits_per_byte - 1.0);
  const double cut = 100.0 * (s.mean_active / baseline.mean_active - 1.0);
  fmt::print(tables, "{:<22} {:>9.4f} {:>10.4f} {:>+8.2f} % {:>8.2f} {:>+7.1f} % {:>8.4f}\n", name,
             knob, s.bits_per_byte, loss, s.mean_active, cut, s.kept_mass);
  return {{"policy", name},
          {"knob", knob},
          {"bits_per_byte", s.bits_per_byte},
          {"loss_percent", loss},
          {"mean_active", s.mean_active},
          {"active_percent", cut},
          {"kept_mass", s.kept_mass}};
}

nlohmann::json expert_load(const SequenceScore& s, const ModelConfig& config, std::FILE* tables) {
  nlohmann::json layers = nlohmann::json::array();
  fmt::print(tables, "\nexpert load, max/mean by layer:");
  for (int l = 0; l < config.layers; ++l) {
    const auto row = std::span(s.expert_tokens)
                         .subspan(static_cast<std::size_t>(l) * config.experts, config.experts);
    std::int64_t sum = 0;
    for (const auto n : row) sum += n;
    const double ratio = static_cast<double>(*std::ranges::max_element(row)) * config.experts /
                         static_cast<double>(sum);
    fmt::print(tables, " {:.2f}", ratio);
    layers.push_back(ratio);
  }
  fmt::print(tables, "\n");
  return layers;
}

nlohmann::json evaluate_policies(SequenceScorer& scorer, const std::vector<DomainText>& text,
                                 const EvalOptions& o, std::FILE* tables) {
  const ModelConfig& config = scorer.config();
  const PolicyBatches batches = make_policy_batches(text, o.rows, o.length, o.batches, o.seed);
  const SequenceScore baseline = score_policy(scorer, batches, scorer.baseline());
  nlohmann::json rows = nlohmann::json::array();
  fmt::print(
      tables, "{} decode batches of {} x {} bytes\n{:<22} {:>9} {:>10} {:>10} {:>8} {:>9} {:>8}\n",
      o.batches, o.rows, o.length - 1, "policy", "knob", "bits/byte", "loss", "D", "of D", "kept");
  rows.push_back(policy_row("baseline", config.top_k, baseline, baseline, tables));
  if (config.top_k > 4) {
    rows.push_back(policy_row("plain top-4", 4,
                              score_policy(scorer, batches, reduced_plan_of(scorer.baseline(), 4)),
                              baseline, tables));
  }
  for (const double cut : o.cuts) {
    const double active = baseline.mean_active * (1.0 - cut / 100.0);
    const PricedPoint priced = find_price(scorer, batches, active, o.k_min);
    rows.push_back(policy_row(fmt::format("pricing, D -{:g} %", cut), priced.price, priced.score,
                              baseline, tables));
    const ReducedPoint reduced = find_reduced_k(scorer, batches, active);
    rows.push_back(policy_row(fmt::format("reduced k, D -{:g} %", cut), reduced.k, reduced.score,
                              baseline, tables));
  }
  return {{"batches", o.batches},
          {"rows", o.rows},
          {"length", o.length - 1},
          {"seed", o.seed},
          {"k_min", o.k_min},
          {"policies", rows},
          {"expert_load_max_over_mean", expert_load(baseline, config, tables)}};
}

void check(const EvalOptions& o, const ModelConfig& config) {
  if (o.length > config.context + 1) {
    throw UsageError(fmt::format("--length {}: must not exceed the model's context + 1, {}",
                                 o.length, config.context + 1));
  }
  if (o.k_min > config.top_k) {
    throw UsageError(fmt::format("--k-min {}: must not exceed the model's {} experts per token",
                                 o.k_min, config.top_k));
  }
}

void evaluate(const EvalOptions& o) {
  const auto scorer = SequenceScorer::load(o.model, {.experts = *expert_type_from(o.experts)});
  check(o, scorer->config());
  const DocumentText text = DocumentText::load(o.text, o.index);
  const std::vector<DomainText> domains = by_domain(text);
  std::FILE* tables = o.json ? stderr : stdout;
  nlohmann::json out = {
      {"schema", 1}, {"model", o.model}, {"experts", o.experts}, {"text", o.text}};
  if (o.domains) out["heldout"] = evaluate_domains(*scorer, domains, tables);
  if (o.policies) out["routing"] = evaluate_policies(*scorer, domains, o, tables);
  if (o.json) fmt::print("{}\n", json_text(out, 2));
  if (!o.out.empty()) write_file_atomically(o.out, json_text(out, 2) + "\n");
}

}  // namespace

void add_eval_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "eval", "Bits/byte of a checkpoint by domain, and what routing policies cost it");
  auto o = std::make_shared<EvalOptions>();
  command->footer(
      "Example:\n  thermoe eval --out docs/results/model_eval.json\n"
      "D is the mean number of distinct experts a layer activates for a decode batch.");
  command->add_option("--model", o->model, "Checkpoint")->capture_default_str();
  command
      ->add_option(
          "--experts", o->experts,
          "simple: as the checkpoint holds them; quantized: rounded to int4 in groups of 32; "
          "mixed: those with odd ids in int4")
      ->capture_default_str()
      ->check(CLI::IsMember({"simple", "quantized", "mixed"}));
  command->add_option("--text", o->text, "Documents separated by 0x00")->capture_default_str();
  command->add_option("--index", o->index, "Index of the documents (JSON)")->capture_default_str();
  command->add_option("--out", o->out, "Also write the figures to this file, as JSON");
  command->add_flag("--json", o->json, "Print the figures as JSON, the tables to stderr");
  command->add_flag("!--no-domains", o->domains, "Leave out the table by domain");
  command->add_flag("!--no-policies", o->policies, "Leave out the table of policies");
  command->add_option("--rows", o->rows, "Streams decoded together")
      ->capture_default_str()
      ->check(whole_number(1, 256));
  command->add_option("--length", o->length, "Bytes of a stream, the leading 0x00 included")
      ->capture_default_str()
      ->check(whole_number(2, 1 << 20));
  command->add_option("--batches", o->batches, "Decode batches a policy")
      ->capture_default_str()
      ->check(whole_number(1, 10000));
  command->add_option("--seed", o->seed, "Choice of the batches")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--k-min", o->k_min, "Guaranteed experts per token under pricing")
      ->capture_default_str()
      ->check(whole_number(1, 64));
  command->add_option("--cut", o->cuts, "Cuts of D to find, percent")
      ->capture_default_str()
      ->check(real_number(0.0, 95.0));
  command->callback([o] { evaluate(*o); });
}

}  // namespace thermoe
