/* SPDX-License-Identifier: Apache-2.0 */
/* thermoe.h as a C11 compiler sees it, with the warnings that C++ would make errors. */
#include "engine/thermoe.h"

_Static_assert(sizeof(thermoe_plan_header) == 64, "a plan begins with 64 bytes");
_Static_assert(sizeof(thermoe_layer_plan) == 32, "a layer's row has 32 bytes");
/* Where members lie is what programs are compiled against: this table only grows. */
_Static_assert(offsetof(thermoe_decision, version) == 8, "decision");
_Static_assert(offsetof(thermoe_decision, plan) == 24, "decision");
_Static_assert(offsetof(thermoe_decision, active) == 40, "decision");
_Static_assert(offsetof(thermoe_decision, step_period_s) == 56, "decision");
_Static_assert(sizeof(thermoe_decision) == 72, "decision");
_Static_assert(offsetof(thermoe_step, step_time_s) == 24, "step");
_Static_assert(offsetof(thermoe_step, layers) == 40, "step");
_Static_assert(offsetof(thermoe_step, counts) == 56, "step");
_Static_assert(offsetof(thermoe_step, logits_type) == 72, "step");
_Static_assert(THERMOE_STEP_SIZE_1 == 80, "step");
_Static_assert(sizeof(thermoe_step) == 112, "step");
_Static_assert(sizeof(thermoe_reading) == 48, "reading");
_Static_assert(sizeof(thermoe_cost) == 32, "cost");
_Static_assert(offsetof(thermoe_state, lambda) == 64, "state");
_Static_assert(offsetof(thermoe_state, reason) == 184, "state");

thermoe_step a_step_of_c(void);
thermoe_step a_step_of_c(void) {
  thermoe_step step = THERMOE_INIT(thermoe_step);
  return step;
}
