// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_frontier.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "report/paired_interval.h"

namespace thermoe {
namespace {

std::vector<double> load_by_layer(const PolicyScore& score, const ModelConfig& config) {
  std::vector<double> layers;
  for (int l = 0; l < config.layers; ++l) {
    const auto row = std::span(score.expert_tokens)
                         .subspan(static_cast<std::size_t>(l) * config.experts, config.experts);
    const auto sum = std::accumulate(row.begin(), row.end(), std::int64_t{0});
    layers.push_back(static_cast<double>(*std::ranges::max_element(row)) * config.experts /
                     static_cast<double>(sum));
  }
  return layers;
}

/// Documents as pieces: a policy's bits, or what it loses, over something of the same bytes.
template <class Bits, class Over>
std::vector<PairedPiece> pieces(const PolicyScore& baseline, const Bits& bits, const Over& over) {
  std::vector<PairedPiece> made;
  for (std::size_t d = 0; d < baseline.document_bits.size(); ++d) {
    // Batches of a part of the text leave documents out.
    if (baseline.document_bits[d] > 0.0) made.push_back({.bits = bits(d), .baseline = over(d)});
  }
  return made;
}

nlohmann::json interval_json(const std::optional<Interval>& i) {
  if (!i) return nullptr;
  return {i->low, i->high};
}

std::optional<Interval> interval_of_loss(const PolicyScore& score, const PolicyScore& baseline,
                                         std::uint64_t seed) {
  return loss_interval(pieces(
                           baseline, [&](std::size_t d) { return score.document_bits[d]; },
                           [&](std::size_t d) { return baseline.document_bits[d]; }),
                       seed);
}

double loss_percent(const PolicyScore& score, const PolicyScore& baseline) {
  return 100.0 * (score.bits_per_byte / baseline.bits_per_byte - 1.0);
}

std::string name_of(const std::optional<Policy>& policy) {
  return policy ? std::string(to_string(*policy)) : "baseline";
}

std::string interval_text(const nlohmann::json& interval, const char* format) {
  if (interval.is_null()) return "-";
  return fmt::format(fmt::runtime(format), interval[0].get<double>(), interval[1].get<double>());
}

std::string cut_text(const nlohmann::json& cut) {
  return cut.is_null() ? "-" : fmt::format("-{:g} %", cut.get<double>());
}

void print_policies(const nlohmann::json& f, std::FILE* out) {
  const auto count = [&](const char* key) { return f[key].get<std::int64_t>(); };
  fmt::print(out,
             "{} of {} decode batches of {} x {} bytes: {} of {} bytes counted\n"
             "{:<10} {:<14} {:>6} {:>8} {:>9} {:>9} {:>17} {:>7} {:>8} {:>7} {:>7}\n",
             count("batches"), count("batches_of_all_text"), count("rows"), count("length"),
             count("bytes"), count("bytes_of_all_text"), "weights", "policy", "cut", "knob",
             "bits/byte", "loss", "95 % interval", "D", "of D", "kept", "nats");
  for (const nlohmann::json& row : f["policies"]) {
    const auto number = [&](const char* key) { return row[key].get<double>(); };
    fmt::print(
        out,
        "{:<10} {:<14} {:>6} {:>8.4f} {:>9.4f} {:>+7.2f} % {:>17} {:>7.2f} {:>+6.1f} % {:>7.4f} "
        "{:>7.4f}{}\n",
        row["denominator"].get<std::string>(), row["policy"].get<std::string>(),
        cut_text(row["cut_percent"]), number("knob"), number("bits_per_byte"),
        number("loss_percent"), interval_text(row["loss_interval"], "{:+.2f}..{:+.2f}"),
        number("mean_active"), number("active_percent"), number("kept_mass"),
        number("quality_loss_nats"), row["reached"].get<bool>() ? "" : "  not reached");
  }
}

void print_comparisons(const nlohmann::json& comparisons, std::FILE* out) {
  fmt::print(out, "\n{:>6} {:<46} {:>11} {:>17} {:>6} {:>12}\n", "cut", "loss less another's",
             "points", "95 % interval", "ratio", "95 %");
  for (const nlohmann::json& c : comparisons) {
    const auto text = [&](const char* key) { return c[key].get<std::string>(); };
    fmt::print(out, "{:>6} {:<46} {:>+11.3f} {:>17} {:>6} {:>12}\n", cut_text(c["cut_percent"]),
               fmt::format("{}, {} - {}, {}", text("denominator"), text("policy"),
                           text("against_denominator"), text("against_policy")),
               c["difference_points"].get<double>(),
               interval_text(c["difference_interval"], "{:+.3f}..{:+.3f}"),
               c["ratio"].is_null() ? "-" : fmt::format("{:.2f}", c["ratio"].get<double>()),
               interval_text(c["ratio_interval"], "{:.2f}..{:.2f}"));
  }
}

}  // namespace

Frontier::Frontier(const std::vector<DomainText>& text, FrontierOptions options)
    : options_(std::move(options)) {
  DecodeBatches all = cover_text(text, options_.rows, options_.length);
  text_bytes_ = all.counted_bytes();
  all_batches_ = all.batches.size();
  batches_ = options_.batches ? some_of(all, *options_.batches) : std::move(all);
}

bool Frontier::add(const SequenceScorer& scorer, const std::string& denominator, Progress& progress,
                   const std::atomic<bool>& stop) {
  std::string phase;
  const ScoringWatch watch{.stop = &stop, .progress = [&](double share) {
                             progress.update(phase, Seconds(share), Seconds(1.0), "");
                           }};
  const int k = scorer.config().top_k;
  const auto score = [&](std::optional<Policy> policy, double knob) {
    phase = denominator + ", " + name_of(policy);
    const RoutingPlan plan =
        policy ? policy_plan(scorer.baseline(), *policy, knob, options_.k_min) : scorer.baseline();
    std::optional<PolicyScore> scored = score_policy(scorer, batches_, plan, watch);
    if (!scored) return false;
    rows_.push_back({.denominator = denominator,
                     .policy = policy,
                     .point = {.knob = knob, .score = *std::move(scored), .reached = true}});
    return true;
  };
  if (!score(std::nullopt, k)) return false;
  const PolicyScore baseline = rows_.back().point.score;
  if (load_.empty()) load_ = load_by_layer(baseline, scorer.config());
  const bool halved = k > 1 && std::ranges::count(options_.policies, Policy::kReducedK) > 0;
  if (halved && !score(Policy::kReducedK, k / 2)) return false;
  for (const Policy policy : options_.policies) {
    PolicySearch search(scorer, batches_, baseline, policy, options_.k_min, watch);
    for (const double cut : options_.cuts) {
      phase = fmt::format("{}, {} D -{:g} %", denominator, to_string(policy), cut);
      std::optional<PolicyPoint> point = search.find(1.0 - cut / 100.0);
      if (!point) return false;
      rows_.push_back(
          {.denominator = denominator, .policy = policy, .cut = cut, .point = *std::move(point)});
    }
  }
  return true;
}

const Frontier::Row& Frontier::baseline_of(const Row& row) const {
  return *std::ranges::find_if(
      rows_, [&](const Row& r) { return !r.policy && r.denominator == row.denominator; });
}

/// At equal D only: the first policy against the others, and each denominator against the first.
std::vector<Frontier::Comparison> Frontier::comparisons() const {
  std::vector<Comparison> made;
  for (const Row& against : rows_) {
    for (const Row& row : rows_) {
      if (!row.cut || row.cut != against.cut || !row.point.reached || !against.point.reached) {
        continue;
      }
      const bool rival = row.denominator == against.denominator &&
                         row.policy == options_.policies.front() && row.policy != against.policy;
      const bool weights = row.policy == against.policy && row.denominator != against.denominator &&
                           against.denominator == rows_.front().denominator;
      if (rival || weights) made.push_back({.row = &row, .against = &against});
    }
  }
  return made;
}

nlohmann::json Frontier::row_json(const Row& row) const {
  const PolicyScore& s = row.point.score;
  const PolicyScore& base = baseline_of(row).point.score;
  nlohmann::json out = {{"denominator", row.denominator},
                        {"policy", name_of(row.policy)},
                        {"cut_percent", nullptr},
                        {"knob", row.point.knob},
                        {"reached", row.point.reached},
                        {"bits_per_byte", s.bits_per_byte},
                        {"loss_percent", loss_percent(s, base)},
                        {"loss_interval", nullptr},
                        {"mean_active", s.mean_active},
                        {"active_percent", 100.0 * (s.mean_active / base.mean_active - 1.0)},
                        {"kept_mass", s.kept_mass},
                        {"quality_loss_nats", s.quality_loss}};
  if (row.cut) out["cut_percent"] = *row.cut;
  if (row.policy) {
    out["loss_interval"] = interval_json(interval_of_loss(s, base, options_.seed));
  }
  return out;
}

nlohmann::json Frontier::comparison_json(const Comparison& c) const {
  const PolicyScore& a = c.row->point.score;
  const PolicyScore& b = c.against->point.score;
  const PolicyScore& a0 = baseline_of(*c.row).point.score;
  const PolicyScore& b0 = baseline_of(*c.against).point.score;
  const auto lost = [](const PolicyScore& s, const PolicyScore& s0) {
    return [&s, &s0](std::size_t d) { return s.document_bits[d] - s0.document_bits[d]; };
  };
  const auto more = lost(a, a0);
  const auto rivals = lost(b, b0);
  const auto own = [&](std::size_t d) { return a0.document_bits[d]; };
  const auto difference =
      loss_interval(pieces(
                        a0, [&](std::size_t d) { return own(d) + more(d) - rivals(d); }, own),
                    options_.seed);
  nlohmann::json out = {{"cut_percent", *c.row->cut},
                        {"denominator", c.row->denominator},
                        {"policy", name_of(c.row->policy)},
                        {"against_denominator", c.against->denominator},
                        {"against_policy", name_of(c.against->policy)},
                        {"difference_points", loss_percent(a, a0) - loss_percent(b, b0)},
                        {"difference_interval", interval_json(difference)},
                        {"ratio", nullptr},
                        {"ratio_interval", nullptr}};
  // A ratio to a loss that may be none says nothing.
  const auto rival_loss = interval_of_loss(b, b0, options_.seed);
  if (rival_loss && rival_loss->low > 0.0) {
    out["ratio"] = loss_percent(a, a0) / loss_percent(b, b0);
    const auto ratio = *loss_interval(pieces(a0, more, rivals), options_.seed);
    out["ratio_interval"] = {1.0 + ratio.low / 100.0, 1.0 + ratio.high / 100.0};
  }
  return out;
}

nlohmann::json Frontier::to_json() const {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : rows_) rows.push_back(row_json(row));
  nlohmann::json compared = nlohmann::json::array();
  for (const Comparison& c : comparisons()) compared.push_back(comparison_json(c));
  return {{"batches", batches_.batches.size()},
          {"batches_of_all_text", all_batches_},
          {"rows", batches_.rows},
          {"length", batches_.length - 1},
          {"bytes", batches_.counted_bytes()},
          {"bytes_of_all_text", text_bytes_},
          {"documents", batches_.documents},
          {"seed", options_.seed},
          {"k_min", options_.k_min},
          {"active_tolerance_percent", 100.0 * kActiveTolerance},
          {"policies", rows},
          {"comparisons", compared},
          {"expert_load_max_over_mean", load_}};
}

void print_frontier(const nlohmann::json& frontier, std::FILE* out) {
  if (frontier["policies"].empty()) return;
  print_policies(frontier, out);
  if (!frontier["comparisons"].empty()) print_comparisons(frontier["comparisons"], out);
  fmt::print(out, "\nexpert load, max/mean by layer:");
  for (const auto& ratio : frontier["expert_load_max_over_mean"]) {
    fmt::print(out, " {:.2f}", ratio.get<double>());
  }
  fmt::print(out, "\n");
}

}  // namespace thermoe
