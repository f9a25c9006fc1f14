// SPDX-License-Identifier: Apache-2.0
#include "engine/thermoe.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "control/controller_without_adapter.h"
#include "core/errors.h"
#include "core/routing_plan.h"
#include "engine/c_boundary.h"
#include "engine/controller_handle.h"
#include "engine/sized_struct.h"
#include "engine/version.h"

namespace {

using namespace thermoe;

static_assert(sizeof(thermoe_plan_header) == sizeof(PlanHeader));
static_assert(offsetof(thermoe_plan_header, version) == offsetof(PlanHeader, version));
static_assert(offsetof(thermoe_plan_header, experts) == offsetof(PlanHeader, experts));
static_assert(sizeof(thermoe_layer_plan) == sizeof(LayerPlan));
static_assert(offsetof(thermoe_layer_plan, extra_k_min_share) ==
              offsetof(LayerPlan, extra_k_min_share));
static_assert(static_cast<int>(PlanKind::kStrategy) == THERMOE_PLAN_STRATEGY &&
              static_cast<int>(PlanKind::kLastSound) == THERMOE_PLAN_LAST_SOUND &&
              static_cast<int>(PlanKind::kStatic) == THERMOE_PLAN_STATIC &&
              static_cast<int>(PlanKind::kBaseline) == THERMOE_PLAN_BASELINE);

thermoe_controller& given(thermoe_controller* controller) {
  if (controller == nullptr) {
    throw UsageError("the controller is NULL; use the one that thermoe_open gave");
  }
  return *controller;
}

// ---- Steps -------------------------------------------------------------------------------------

/// What no step takes is another unit's number or memory that was never set; a controller that
/// believed it would pace by it.
void check_times(const thermoe_step& step) {
  constexpr double kShortest = 1e-9, kLongest = 1e6;
  const auto sound = [](double s) { return s == 0.0 || (s >= kShortest && s <= kLongest); };
  if (sound(step.step_time_s) && sound(step.step_period_s)) return;
  throw UsageError(
      fmt::format("thermoe_step: step_time_s is {}, step_period_s is {}; they are seconds within "
                  "[1e-9, 1e6], or 0 where they are not known",
                  step.step_time_s, step.step_period_s));
}

void check_shape(const thermoe_step& step, const ControllerConfig& model) {
  if (step.counts == nullptr && step.logits == nullptr) return;
  if (step.layers == model.layers && step.experts == model.router.experts) return;
  throw UsageError(fmt::format(
      "thermoe_step: it has {} layers of {} experts, the controller's model has {} of {}; open a "
      "controller for each model",
      step.layers, step.experts, model.layers, model.router.experts));
}

std::span<const std::int32_t> counts_of(const thermoe_step& step) {
  if (step.counts == nullptr) return {};
  const std::span counts(
      step.counts, static_cast<std::size_t>(step.layers) * static_cast<std::size_t>(step.experts));
  const auto odd =
      std::ranges::find_if(counts, [&](std::int32_t n) { return n < 0 || n > step.tokens; });
  if (odd == counts.end()) return counts;
  const auto cell = odd - counts.begin();
  throw UsageError(fmt::format(
      "thermoe_step: counts of layer {}, expert {} is {}; it must lie within 0..tokens = {}",
      cell / step.experts, cell % step.experts, *odd, step.tokens));
}

std::optional<StepLogits> logits_of(const thermoe_step& step) {
  if (step.logits == nullptr) return std::nullopt;
  need(step.counts != nullptr, "thermoe_step: it has logits, but no counts; count it, too");
  const int rows = step.logit_rows == 0 ? step.tokens : step.logit_rows;
  if (rows < step.tokens) {
    throw UsageError(
        fmt::format("thermoe_step: logit_rows is {}, less than tokens = {}", rows, step.tokens));
  }
  StepLogits logits{.data = step.logits, .rows = rows};
  switch (step.logits_type) {
    case THERMOE_F32:
      return logits;
    case THERMOE_F16:
      logits.type = LogitType::kF16;
      return logits;
    case THERMOE_BF16:
      logits.type = LogitType::kBf16;
      return logits;
    default:
      throw UsageError(fmt::format(
          "thermoe_step: logits_type is {}; use THERMOE_F32, THERMOE_F16 or THERMOE_BF16",
          step.logits_type));
  }
}

std::optional<StepServing> serving_of(const thermoe_step& step) {
  if ((step.known & THERMOE_KNOWS_SERVING) == 0) return std::nullopt;
  need(step.running >= 0 && step.waiting >= 0 && step.arrived >= 0 && step.finished >= 0,
       "thermoe_step: running, waiting, arrived and finished are 0 or more");
  return StepServing{.running = step.running,
                     .waiting = step.waiting,
                     .arrived = step.arrived,
                     .finished = step.finished};
}

std::optional<double> loss_of(const thermoe_step& step) {
  if ((step.known & THERMOE_KNOWS_LOSS) == 0) return std::nullopt;
  need(std::isfinite(step.quality_loss) && step.quality_loss >= 0.0,
       "thermoe_step: quality_loss is a number of nats, 0 or more");
  return step.quality_loss;
}

EngineStep step_of(const thermoe_step& step, const ControllerConfig& model) {
  if (step.tokens < 1 || (step.rows != 0 && step.rows < step.tokens)) {
    throw UsageError(fmt::format(
        "thermoe_step: tokens is {}, rows is {}; a step has 1 token or more, and as many rows at "
        "least (or 0: as many)",
        step.tokens, step.rows));
  }
  check_times(step);
  check_shape(step, model);
  return {.version = step.version,
          .mixed = (step.flags & THERMOE_MIXED) != 0,
          .time = Seconds(step.step_time_s),
          .period = Seconds(step.step_period_s),
          .tokens = step.tokens,
          .rows = step.rows == 0 ? step.tokens : step.rows,
          .counts = counts_of(step),
          .logits = logits_of(step),
          .serving = serving_of(step),
          .quality_loss = loss_of(step)};
}

// ---- Readings and state ------------------------------------------------------------------------

template <class Unit>
void take(const thermoe_reading& reading, std::uint64_t bit, double value, const char* name,
          Reading<Unit>& to) {
  if ((reading.known & bit) == 0) return;
  if (!std::isfinite(value)) {
    throw UsageError(fmt::format(
        "thermoe_reading: {} is {}; leave its bit out of `known` where a sensor says nothing", name,
        value));
  }
  to.value = Unit(value);
}

GpuReading reading_of(const thermoe_reading& reading) {
  GpuReading gpu;
  take(reading, THERMOE_KNOWS_POWER, reading.power_w, "power_w", gpu.power_instant);
  take(reading, THERMOE_KNOWS_POWER_AVERAGE, reading.power_average_w, "power_average_w",
       gpu.power_average);
  take(reading, THERMOE_KNOWS_TEMPERATURE, reading.temperature_c, "temperature_c", gpu.temperature);
  take(reading, THERMOE_KNOWS_MEMORY_TEMPERATURE, reading.memory_temperature_c,
       "memory_temperature_c", gpu.memory_temperature);
  return gpu;
}

/// Writes what is there, and says so.
class Known {
 public:
  explicit Known(thermoe_state& state) : state_(state) {}

  template <class Unit>
  void put(std::uint64_t bit, const std::optional<Unit>& value, double& to) {
    if (!value) return;
    state_.known |= bit;
    if constexpr (std::is_same_v<Unit, double>) {
      to = *value;
    } else {
      to = value->value;
    }
  }

 private:
  thermoe_state& state_;
};

void put_sensors(const Snapshot& snapshot, thermoe_state& to) {
  to.simulated = snapshot.simulated ? 1 : 0;
  if (snapshot.gpus.empty()) return;
  const GpuReading& gpu = snapshot.gpus.front();
  Known known(to);
  known.put(THERMOE_KNOWS_POWER, gpu.power_instant.value, to.power_w);
  known.put(THERMOE_KNOWS_POWER_AVERAGE, gpu.power_average.value, to.power_average_w);
  known.put(THERMOE_KNOWS_TEMPERATURE, gpu.temperature.value, to.temperature_c);
  known.put(THERMOE_KNOWS_MEMORY_TEMPERATURE, gpu.memory_temperature.value,
            to.memory_temperature_c);
}

void put_control(const ControllerState& control, thermoe_state& to) {
  to.plan_kind = static_cast<std::int32_t>(control.plan);
  to.saturated = control.saturated ? 1 : 0;
  to.lambda = control.lambda;
  to.predicted_kept_mass = control.predicted_kept_mass;
  to.predicted_active = control.predicted_active;
  Known known(to);
  known.put(THERMOE_KNOWS_PREDICTED_POWER, control.predicted_power, to.predicted_power_w);
  known.put(THERMOE_KNOWS_PREDICTED_TEMPERATURE, control.predicted_temperature,
            to.predicted_temperature_c);
  known.put(THERMOE_KNOWS_PREDICTED_STEP_TIME, control.predicted_step_time,
            to.predicted_step_time_s);
  control.fallback.copy(to.reason, sizeof to.reason - 1);
}

thermoe_state state_of(const EngineState& state) {
  thermoe_state to{};
  to.ticks = state.ticks;
  to.steps = state.steps.steps;
  to.tokens = state.steps.tokens;
  to.skipped = state.steps.skipped;
  to.step_period_s = state.step_period.value;
  put_control(state.control, to);
  put_sensors(state.snapshot, to);
  if (state.metrics) {
    to.known |= THERMOE_KNOWS_STEP_TIME;
    to.step_time_s = state.metrics->step_time.value;
    to.measured_step_period_s = state.metrics->step_period.value;
  }
  Known known(to);
  known.put(THERMOE_KNOWS_ACTIVE_EXPERTS, state.active_experts, to.active_experts);
  known.put(THERMOE_KNOWS_QUALITY_LOSS, state.quality_loss, to.quality_loss);
  return to;
}

thermoe_decision decision_of(thermoe_controller& c, const HandOver::Held& held) {
  thermoe_decision to{};
  to.version = held.version;
  to.flags = (held.version != c.acquired ? THERMOE_CHANGED : 0) | (held.safe ? THERMOE_SAFE : 0) |
             (c.service.wants_sample() ? THERMOE_SAMPLE_WANTED : 0) |
             (held.calibrating ? THERMOE_CALIBRATING : 0);
  to.plan = held.routes.plan.bytes().data();
  to.plan_bytes = held.routes.plan.bytes().size();
  if (!held.routes.mask.empty()) {
    to.active = held.routes.mask.data();
    to.active_bytes = held.routes.mask.size();
  }
  to.step_period_s = held.step_period.value;
  if (held.valid_until) {
    to.flags |= THERMOE_EXPIRES;
    to.valid_for_s = (*held.valid_until - c.service.now()).value;
  }
  return to;
}

}  // namespace

extern "C" {

const char* thermoe_version(void) { return thermoe::kVersion; }

uint32_t thermoe_abi_version(void) { return THERMOE_ABI_VERSION; }

const char* thermoe_last_error(void) { return thermoe::last_error().c_str(); }

thermoe_status thermoe_open(const char* config, thermoe_controller** controller) {
  return guarded([&] {
    need(config != nullptr && controller != nullptr,
         "thermoe_open needs a configuration and a place for the controller");
    *controller = new thermoe_controller(read_engine_config(config), controller_without_adapter);
  });
}

void thermoe_close(thermoe_controller* controller) { delete controller; }

thermoe_status thermoe_acquire(thermoe_controller* controller, struct thermoe_decision* decision) {
  return guarded([&] {
    thermoe_controller& c = given(controller);
    size_of_given(decision, sizeof *decision, "thermoe_decision");
    const OneCall call(c, thermoe_controller::kAcquire);
    const HandOver::Held held = c.service.acquire();
    write_sized(decision, decision_of(c, held), sizeof *decision, "thermoe_decision");
    c.acquired = held.version;
    c.bound.update(held.routes.plan);
  });
}

size_t thermoe_plan_bytes(uint32_t layers, uint32_t experts) {
  constexpr uint32_t kMost = 1U << 20;
  if (layers < 1 || experts < 1 || layers > kMost || experts > kMost) return 0;
  return RoutingPlan::byte_size(static_cast<int>(layers), static_cast<int>(experts));
}

thermoe_status thermoe_bind_plan(thermoe_controller* controller, void* buffer, size_t bytes) {
  return guarded([&] {
    thermoe_controller& c = given(controller);
    const OneCall call(c, thermoe_controller::kAcquire);
    const RoutingPlan& plan = c.service.acquire().routes.plan;
    BoundPlan bound = buffer == nullptr ? BoundPlan() : BoundPlan(buffer, bytes, plan);
    bound.update(plan);
    std::swap(c.bound, bound);
  });
}

thermoe_status thermoe_observe(thermoe_controller* controller, const struct thermoe_step* step) {
  return guarded([&] {
    thermoe_controller& c = given(controller);
    const thermoe_step known = read_sized(step, THERMOE_STEP_SIZE_1, "thermoe_step");
    const OneCall call(c, thermoe_controller::kObserve);
    c.service.observe(step_of(known, c.service.config().control));
  });
}

thermoe_status thermoe_set_reading(thermoe_controller* controller,
                                   const struct thermoe_reading* reading) {
  return guarded([&] {
    thermoe_controller& c = given(controller);
    const thermoe_reading known = read_sized(reading, sizeof *reading, "thermoe_reading");
    const OneCall call(c, thermoe_controller::kReading);
    c.service.set_reading(reading_of(known));
  });
}

thermoe_status thermoe_read_state(thermoe_controller* controller, struct thermoe_state* state) {
  return guarded([&] {
    thermoe_controller& c = given(controller);
    const OneCall call(c, thermoe_controller::kState);
    write_sized(state, state_of(c.service.state()), sizeof *state, "thermoe_state");
  });
}

const char* thermoe_metrics_url(thermoe_controller* controller) {
  return controller == nullptr ? "" : controller->service.metrics_url();
}

thermoe_status thermoe_advance(thermoe_controller* controller, double now_s) {
  return guarded([&] {
    thermoe_controller& c = given(controller);
    need(std::isfinite(now_s), "now_s is no number");
    const OneCall call(c, thermoe_controller::kAdvance);
    c.service.advance(Seconds(now_s));
  });
}

}  // extern "C"
