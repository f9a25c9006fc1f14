// SPDX-License-Identifier: Apache-2.0
#include "control/config_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/errors.h"

namespace thermoe {

Targets read_targets(JsonObject object) {
  Targets targets;
  if (const auto w = object.optional_number("power_w", 1.0, 1e5)) targets.power = Watts(*w);
  if (const auto c = object.optional_number("temperature_c", 1.0, 150.0)) {
    targets.temperature = Celsius(*c);
  }
  const auto milliseconds = [&object](const char* name, double most) -> std::optional<Seconds> {
    const auto ms = object.optional_number(name, 1e-3, most);
    return ms ? std::optional(Seconds(1e-3 * *ms)) : std::nullopt;
  };
  targets.step_time = milliseconds("step_ms", 1e6);
  targets.between_tokens = milliseconds("time_between_tokens_ms", 1e6);
  targets.to_first_token = milliseconds("time_to_first_token_ms", 1e8);
  object.finish();
  return targets;
}

void read_guard_rails(JsonObject& control, GuardRails& guard) {
  guard.bias_clamp = control.number_or("bias_clamp", guard.bias_clamp, 1e-6, 10.0);
  guard.max_quality_loss =
      control.number_or("max_quality_loss", guard.max_quality_loss, 1e-6, 100.0);
  guard.fallback =
      sensor_fallback_from(control.choice_or("fallback", std::string(to_string(guard.fallback)),
                                             sensor_fallback_names()))
          .value();
  guard.stale_after =
      Seconds(control.number_or("stale_after_s", guard.stale_after.value, 0.1, 3600.0));
  guard.recover_after =
      Seconds(control.number_or("recover_after_s", guard.recover_after.value, 0.0, 3600.0));
  guard.valid_ticks =
      static_cast<int>(control.integer_or("valid_ticks", guard.valid_ticks, 1, 1000000));
}

void read_sensor_lag(JsonObject& control, std::optional<Seconds>& delay,
                     std::optional<Seconds>& window) {
  if (const auto s = control.optional_number("sensor_delay_s", 0.0, 1.0)) delay = Seconds(*s);
  if (const auto s = control.optional_number("sensor_window_s", 1e-3, 1.0)) window = Seconds(*s);
}

ServingEngine read_batching(JsonObject& engine) {
  ServingEngine batching;
  batching.batch_limit =
      static_cast<int>(engine.integer_or("batch_limit", batching.batch_limit, 1, kMostSequences));
  if (!engine.given("graph_sizes")) return batching;
  std::vector<int>& sizes = batching.graph_sizes;
  const nlohmann::json& list = engine.array("graph_sizes");
  for (std::size_t i = 0; i < list.size(); ++i) {
    // An object of its own gives `integer` something to name in its message.
    const std::string place = std::to_string(i);
    const nlohmann::json wrapped = {{place, list[i]}};
    JsonObject element(wrapped, engine.path(), engine.key("graph_sizes"));
    const int size = static_cast<int>(element.integer(place, 1, kMostSequences));
    if (!sizes.empty() && size <= sizes.back()) {
      throw FormatError(
          engine.path(), element.key(place),
          fmt::format("is {} after {}; the sizes must be ascending", size, sizes.back()));
    }
    sizes.push_back(size);
  }
  return batching;
}

}  // namespace thermoe
