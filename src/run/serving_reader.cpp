// SPDX-License-Identifier: Apache-2.0
#include "run/serving_reader.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "control/config_reader.h"
#include "core/errors.h"
#include "run/experiment_names.h"

namespace thermoe {
namespace {

using nlohmann::json;
using Kind = ArrivalSpec::Kind;

std::size_t place_of(const std::vector<std::string>& names, const std::string& word) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), word) - names.begin());
}

/// A number of tokens, or the law of one.
TokenLaw read_tokens(JsonObject& object, const json& value, const std::string& name, TokenLaw law) {
  if (!value.contains(name) || !value[name].is_object()) {
    law.mean = object.number_or(name, law.mean, 1.0, kMostRequestTokens);
    return law;
  }
  JsonObject given = object.object(name);
  law.kind = static_cast<TokenLaw::Kind>(place_of(kTokenLaws, given.choice("law", kTokenLaws)));
  law.mean = given.number("mean", 1.0, kMostRequestTokens);
  if (law.kind == TokenLaw::Kind::kLogNormal) law.spread = given.number("spread", 0.0, 5.0);
  given.finish();
  return law;
}

json tokens_json(const TokenLaw& law) {
  if (law.kind == TokenLaw::Kind::kFixed) return law.mean;
  json out = {{"law", kTokenLaws[static_cast<std::size_t>(law.kind)]}, {"mean", law.mean}};
  if (law.kind == TokenLaw::Kind::kLogNormal) out["spread"] = law.spread;
  return out;
}

ArrivingSpec read_law(JsonObject object, const json& value) {
  ArrivingSpec out;
  ArrivalSpec& law = out.law;
  law.kind = static_cast<Kind>(place_of(kArrivalLaws, object.choice("kind", kArrivalLaws)));
  if (law.kind == Kind::kRecorded) {
    out.file = object.string("file");
    object.finish();
    return out;
  }
  law.rate_per_s = object.number("rate_per_s", 1e-3, 1e5);
  law.tokens_in = read_tokens(object, value, "tokens_in", law.tokens_in);
  law.tokens_out = read_tokens(object, value, "tokens_out", law.tokens_out);
  if (law.kind == Kind::kBursty) {
    law.burst_factor = object.number_or("burst_factor", law.burst_factor, 1.001, 1e3);
    law.burst_share =
        object.number_or("burst_share", law.burst_share, 1e-3, 1.0 / law.burst_factor);
    law.burst_length = Seconds(object.number_or("burst_s", law.burst_length.value, 0.01, 1e5));
  }
  if (law.kind == Kind::kDayCycle) {
    law.swing = object.number_or("swing", law.swing, 0.0, 1.0);
    law.day = Seconds(object.number_or("day_s", law.day.value, 1.0, 1e6));
  }
  object.finish();
  return out;
}

PrefillCost read_prefill(JsonObject& object) {
  PrefillCost prefill;
  Cost& token = prefill.per_token;
  Cost& step = prefill.per_step;
  prefill.tokens_per_step = static_cast<int>(
      object.integer_or("prefill_tokens_per_step", prefill.tokens_per_step, 1, 1 << 20));
  token.latency =
      Seconds(1e-6 * object.number_or("prefill_us_per_token", 1e6 * token.latency.value, 0.0, 1e6));
  token.energy =
      Joules(1e-3 * object.number_or("prefill_mj_per_token", 1e3 * token.energy.value, 0.0, 1e6));
  step.latency =
      Seconds(1e-3 * object.number_or("prefill_step_ms", 1e3 * step.latency.value, 0.0, 1e4));
  step.energy = Joules(object.number_or("prefill_step_j", step.energy.value, 0.0, 1e4));
  prefill.paced = object.boolean_or("prefill_paced", prefill.paced);
  return prefill;
}

/// Rounded to what JSON shows: 1e6 times a decimal is not always what was read.
double shown(double value) { return std::round(value * 1e9) / 1e9; }

}  // namespace

std::optional<ArrivingSpec> read_arriving(JsonObject& experiment, const json& value) {
  if (!experiment.given("arrivals")) return std::nullopt;
  for (const char* name : {"arrival", "batch", "decode_steps_per_tick"}) {
    if (!experiment.given(name)) continue;
    throw FormatError(experiment.path(), experiment.key(name),
                      "has no meaning beside arrivals, whose requests make the batches; remove it, "
                      "or remove \"arrivals\"");
  }
  if (experiment.choice_or("workload", kWorkloads.front(), kWorkloads) != kWorkloads.front()) {
    throw FormatError(experiment.path(), experiment.key("workload"),
                      "has no meaning beside arrivals, whose requests make the batches; use "
                      "\"standard\"");
  }
  return read_law(experiment.object("arrivals"), value["arrivals"]);
}

EngineSpec read_engine(JsonObject object, bool serves) {
  EngineSpec engine;
  if (object.given("name")) engine.name = object.string("name");
  engine.context = object.optional_number("context", 0.0, 1e9);
  for (const char* name :
       {"batch_limit", "graph_sizes", "larger_batch_limit", "prefill_tokens_per_step",
        "prefill_us_per_token", "prefill_mj_per_token", "prefill_step_ms", "prefill_step_j",
        "prefill_paced"}) {
    if (serves || !object.given(name)) continue;
    throw FormatError(object.path(), object.key(name),
                      "has no meaning where no requests arrive; remove it, or add \"arrivals\"");
  }
  engine.serving = read_batching(object);
  if (object.given("larger_batch_limit")) {
    engine.larger_batch_limit = static_cast<int>(
        object.integer("larger_batch_limit", engine.serving.batch_limit, kMostSequences));
  }
  engine.prefill = read_prefill(object);
  object.finish();
  return engine;
}

json arriving_json(const ArrivingSpec& arriving) {
  const ArrivalSpec& law = arriving.law;
  json out = {{"kind", kArrivalLaws[static_cast<std::size_t>(law.kind)]}};
  if (law.kind == Kind::kRecorded) {
    out["file"] = arriving.file;
    return out;
  }
  out["rate_per_s"] = law.rate_per_s;
  out["tokens_in"] = tokens_json(law.tokens_in);
  out["tokens_out"] = tokens_json(law.tokens_out);
  if (law.kind == Kind::kBursty) {
    out["burst_factor"] = law.burst_factor;
    out["burst_share"] = law.burst_share;
    out["burst_s"] = law.burst_length.value;
  }
  if (law.kind == Kind::kDayCycle) {
    out["swing"] = law.swing;
    out["day_s"] = law.day.value;
  }
  return out;
}

json engine_json(const EngineSpec& engine, bool serves) {
  json out = json::object();
  if (engine.name) out["name"] = *engine.name;
  if (engine.context) out["context"] = *engine.context;
  if (!serves) return out;
  const PrefillCost& prefill = engine.prefill;
  out["batch_limit"] = engine.serving.batch_limit;
  out["graph_sizes"] = engine.serving.graph_sizes;
  if (engine.larger_batch_limit) out["larger_batch_limit"] = *engine.larger_batch_limit;
  out["prefill_tokens_per_step"] = prefill.tokens_per_step;
  out["prefill_us_per_token"] = shown(1e6 * prefill.per_token.latency.value);
  out["prefill_mj_per_token"] = shown(1e3 * prefill.per_token.energy.value);
  out["prefill_step_ms"] = shown(1e3 * prefill.per_step.latency.value);
  out["prefill_step_j"] = prefill.per_step.energy.value;
  out["prefill_paced"] = prefill.paced;
  return out;
}

void check_serving(const Experiment& e) {
  const auto refuse = [&](const std::string& key, const std::string& problem) {
    throw FormatError(e.path, key, problem);
  };
  if (e.arrivals) {
    if (e.machine == MachineKind::kGpu) {
      refuse("/machine",
             "is \"gpu\", where a load of a fixed batch runs; requests arrive on the simulated "
             "machine only: use \"simulated\", or remove \"arrivals\"");
    }
    if (!e.trace) {
      refuse("/decoder",
             "is \"model\", which decodes a fixed number of streams; where requests arrive a "
             "recorded router decides: set it to \"trace\" and give trace.file");
    }
    if (e.targets.step_time) {
      refuse("/targets/step_ms",
             fmt::format("is {:g}, but an engine under arrivals paces its steps: cap "
                         "time_between_tokens_ms instead",
                         1e3 * e.targets.step_time->value));
    }
    return;
  }
  const auto needs = [&](const std::string& key, const std::string& value) {
    refuse(key, fmt::format("{} is for an engine to which requests arrive; remove it, or add "
                            "\"arrivals\"",
                            value));
  };
  if (e.targets.between_tokens) needs("/targets/time_between_tokens_ms", "a cap on this time");
  if (e.targets.to_first_token) needs("/targets/time_to_first_token_ms", "a cap on this time");
  if (e.objective != Objective::kEnergy) needs("/objective", "\"throughput\"");
  for (std::size_t i = 0; i < e.strategies.size(); ++i) {
    const Strategy s = e.strategies[i];
    if (s == Strategy::kPriceAlone || s == Strategy::kPacingAlone || s == Strategy::kLargerBatch) {
      needs(fmt::format("/strategies/{}", i), std::string(to_string(s)));
    }
  }
}

}  // namespace thermoe
