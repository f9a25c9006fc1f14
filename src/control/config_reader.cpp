// SPDX-License-Identifier: Apache-2.0
#include "control/config_reader.h"

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

}  // namespace thermoe
