// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/eval_frontier.h"
#include "cli/kernels_option.h"
#include "cli/number_option.h"
#include "cli/out_file.h"
#include "cli/terminal_progress.h"
#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/named_values.h"
#include "core/router_spec.h"
#include "core/terminal_text.h"
#include "moe/evaluation.h"
#include "moe/model_weights.h"
#include "run/document_text.h"

namespace thermoe {
namespace {

constexpr const char* kAll = "all";
constexpr const char* kOwn = "own";  ///< the weights that the model itself mixes by

constexpr NamedValues<Policy, 3> kPolicyFlags{{{Policy::kPricing, "pricing"},
                                               {Policy::kOpportunistic, "opportunistic"},
                                               {Policy::kReducedK, "reduced_k"}}};

std::vector<std::string> denominator_flags() {
  std::vector<std::string> names = weight_denominator_names();
  names.insert(names.begin(), kOwn);
  return names;
}

struct EvalOptions {
  std::string model = "model/thermoe-e128.safetensors";
  std::string text = "data/text/heldout.bin";
  std::string index = "data/text/heldout.json";
  std::string experts{to_string(ExpertType::kSimple)};
  std::string device = "cpu";
  std::string kernels{};  ///< empty: the device's
  std::string out{};      ///< file for the figures
  bool json = false;      ///< figures as JSON on stdout, tables on stderr
  bool domains = true;
  bool policies = true;
  int rows = 16;
  int length = 513;
  std::string batches = "4";
  std::uint64_t seed = 1;
  int k_min = 1;
  std::vector<std::string> denominators{kOwn};
  std::vector<std::string> policy{all_names(kPolicyFlags)};
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

/// Null where `stop` ended it.
nlohmann::json evaluate_domains(const SequenceScorer& scorer, const std::vector<DomainText>& text,
                                Progress& progress, const std::atomic<bool>& stop,
                                std::FILE* tables) {
  const auto scored = score_domains(scorer, text, {.stop = &stop, .progress = [&](double share) {
                                                     progress.update("every byte", Seconds(share),
                                                                     Seconds(1.0), "");
                                                   }});
  if (!scored) return nullptr;
  nlohmann::json out = {{"domains", nlohmann::json::array()}};
  double bits = 0.0;
  std::int64_t bytes = 0;
  fmt::print(tables, "{:<14} {:>10} {:>10}\n", "domain", "bytes", "bits/byte");
  for (const DomainScore& s : *scored) {
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

void check(const EvalOptions& o, const ModelConfig& config) {
  for (auto name = o.denominators.begin(); name != o.denominators.end(); ++name) {
    if (std::find(o.denominators.begin(), name, *name) == name) continue;
    throw UsageError(fmt::format("--denominator {}: is given twice; keep one", *name));
  }
  if (o.length > config.context + 1) {
    throw UsageError(fmt::format("--length {}: must not exceed the model's context + 1, {}",
                                 o.length, config.context + 1));
  }
  if (o.k_min > config.top_k) {
    throw UsageError(fmt::format("--k-min {}: must not exceed the model's {} experts per token",
                                 o.k_min, config.top_k));
  }
}

/// In the order of `kPolicyFlags`, each once.
std::vector<Policy> policies_of(const std::vector<std::string>& names) {
  std::vector<Policy> chosen;
  for (const auto& [policy, name] : kPolicyFlags) {
    if (std::ranges::count(names, name) > 0) chosen.push_back(policy);
  }
  return chosen;
}

FrontierOptions frontier_options(const EvalOptions& o) {
  return {.rows = o.rows,
          .length = o.length,
          .batches = o.batches == kAll ? std::optional<std::size_t>{} : std::stoull(o.batches),
          .k_min = o.k_min,
          .cuts = o.cuts,
          .policies = policies_of(o.policy),
          .seed = o.seed};
}

void evaluate(const EvalOptions& o, const std::atomic<bool>& stop) {
  const auto kernels = o.kernels.empty() ? std::optional<Backend>{} : checked_kernels(o.kernels);
  const auto load = [&](const std::string& denominator) {
    return SequenceScorer::load(o.model, {.experts = *expert_type_from(o.experts),
                                          .denominator = weight_denominator_from(denominator),
                                          .device = o.device,
                                          .kernels = kernels});
  };
  if (!o.out.empty()) check_out_file(o.out);
  check(o, read_model_config(o.model));
  const DocumentText text = DocumentText::load(o.text, o.index);
  const std::vector<DomainText> domains = by_domain(text);
  std::FILE* tables = o.json ? stderr : stdout;
  nlohmann::json out = {
      {"schema", 2}, {"model", o.model}, {"experts", o.experts}, {"text", o.text}};
  bool complete = true;
  if (o.domains) {
    TerminalProgress progress;
    out["heldout"] = evaluate_domains(*load(kOwn), domains, progress, stop, tables);
    complete = !out["heldout"].is_null();
  }
  if (o.policies && complete) {
    Frontier frontier(domains, frontier_options(o));
    {
      TerminalProgress progress;
      for (const std::string& denominator : o.denominators) {
        complete = complete && frontier.add(*load(denominator), denominator, progress, stop);
      }
    }
    out["routing"] = frontier.to_json();
    print_frontier(out["routing"], tables);
  }
  out["complete"] = complete;
  if (o.json) fmt::print("{}\n", json_text(out, 2));
  if (!o.out.empty()) write_file_atomically(o.out, json_text(out, 2) + "\n");
  if (!complete) {
    throw Error(o.out.empty() ? "interrupted: the figures are those made until then"
                              : fmt::format("interrupted: {} holds what was scored until then, "
                                            "with \"complete\": false",
                                            o.out));
  }
}

}  // namespace

void add_eval_command(CLI::App& app, const std::atomic<bool>& stop) {
  CLI::App* command = app.add_subcommand(
      "eval", "Bits/byte of a checkpoint by domain, and what routing policies cost it");
  auto o = std::make_shared<EvalOptions>();
  command->footer(
      "Example:\n  thermoe eval --batches all --denominator picked,reference --out frontier.json\n"
      "D is the mean number of distinct experts a layer activates for a decode batch. Policies "
      "are\n"
      "compared at equal cuts of it, on the same bytes; intervals are a bootstrap of documents.\n"
      "Ctrl-C stops after the batches under way; what is done is printed and written.");
  command->add_option("--model", o->model, "Checkpoint")->capture_default_str();
  command
      ->add_option(
          "--experts", o->experts,
          "simple: as the checkpoint holds them; quantized: rounded to int4 in groups of 32; "
          "mixed: those with odd ids in int4")
      ->capture_default_str()
      ->check(CLI::IsMember({"simple", "quantized", "mixed"}));
  command
      ->add_option("--device", o->device,
                   "cpu, cuda or cuda:N (a CUDA device and a cuda-release build)")
      ->capture_default_str();
  add_kernels_option(*command, o->kernels)->default_str("the device's");
  command->add_option("--text", o->text, "Documents separated by 0x00")->capture_default_str();
  command->add_option("--index", o->index, "Index of the documents (JSON)")->capture_default_str();
  command->add_option("--out", o->out, "Also write the figures to this file, as JSON");
  command->add_flag("--json", o->json, "Print the figures as JSON, the tables to stderr");
  command->add_flag("!--no-domains", o->domains, "Leave out the table by domain");
  command->add_flag("!--no-policies", o->policies, "Leave out the table of policies");
  command->add_option("--rows", o->rows, "Streams decoded together")
      ->capture_default_str()
      ->check(whole_number(1, 256));
  command->add_option("--length", o->length, "Bytes of a stream, the first of them context only")
      ->capture_default_str()
      ->check(whole_number(2, 1 << 20));
  command
      ->add_option("--batches", o->batches,
                   "Decode batches a policy, spread over the text; all: every byte of it")
      ->capture_default_str()
      ->check(whole_number(1, 1'000'000) | CLI::IsMember({kAll}));
  command
      ->add_option(
          "--denominator", o->denominators,
          "What the scores of a token's picks are divided by to give weights (one or "
          "several, compared with the first); own: the checkpoint's, reference where it says none")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember(denominator_flags()));
  command
      ->add_option(
          "--policy", o->policy,
          "Policies to score; the first, in the order pricing, opportunistic, reduced_k, is "
          "compared with the others")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember(all_names(kPolicyFlags)));
  command->add_option("--seed", o->seed, "Of the intervals")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--k-min", o->k_min, "Guaranteed experts per token under pricing")
      ->capture_default_str()
      ->check(whole_number(1, 64));
  command->add_option("--cut", o->cuts, "Cuts of D to find, percent")
      ->capture_default_str()
      ->check(real_number(0.0, 95.0));
  command->callback([o, &stop] { evaluate(*o, stop); });
}

}  // namespace thermoe
