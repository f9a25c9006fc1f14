/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Thermoe for an engine that serves: what a C program calls. C11 and C++; nothing of it throws,
 * logs, reads the environment or keeps anything outside of a controller but the message of
 * thermoe_last_error. docs/engines.md shows it at work, examples/toy_engine.c is a whole program.
 *
 *   thermoe_open     a controller from JSON; it measures and decides ten times a second in a thread
 *                    of its own
 *   loop:
 *     thermoe_acquire  before a step: what holds for it (plan or mask, step period)
 *     thermoe_observe  after a step: what it ran
 *   thermoe_close
 *
 * STRUCTS grow at their end from version to version. `size` comes first and is the caller's
 * sizeof (THERMOE_INIT). The library reads and writes no byte beyond it;
 * what a caller's struct does not have yet counts as zero. One smaller than the first version's is
 * refused, as is one of a newer header whose unknown bytes are not zero: they would be asked in
 * vain. An unknown rest of a struct that the library fills is zeroed.
 *
 * UNITS are in the names: _s seconds, _w watts, _c degrees Celsius, _j joules.
 *
 * ABSENT numbers have no value: a `known` mask says which are there.
 *
 * THREADS. thermoe_observe, thermoe_acquire, thermoe_set_reading, thermoe_read_state and
 * thermoe_advance may be called from different threads; the same function of one controller from
 * one thread at a time (a second finds THERMOE_BUSY, and nothing is done). thermoe_acquire is
 * wait-free and thermoe_observe lock-free: neither allocates nor waits for the controller, however
 * slow or dead it is. thermoe_close ends all: no call may be under way. After a fork() only the
 * parent may go on.
 *
 * ERRORS. Every function that can fail returns a thermoe_status; what it should have filled is then
 * untouched. thermoe_last_error() has the sentence for people.
 */

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#error "thermoe runs on Linux"
#endif
#if defined(__GNUC__)
#define THERMOE_API __attribute__((visibility("default")))
#else
#define THERMOE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when a function is added or a struct gets members. What was there stays. */
#define THERMOE_ABI_VERSION 1

/* A zeroed struct that knows its size: thermoe_step step = THERMOE_INIT(thermoe_step);
 * In C++: thermoe_step step{}; step.size = sizeof step; */
#ifndef __cplusplus
#define THERMOE_INIT(type) \
  { .size = sizeof(struct type) }
#endif

typedef int32_t thermoe_status;
enum {
  THERMOE_OK = 0,
  THERMOE_BAD_INPUT = 1, /* a file, a key, a shape, a value: the message names it and the remedy */
  THERMOE_UNAVAILABLE = 2, /* a device or driver that was asked for is not there */
  THERMOE_BUSY = 3,        /* the same function is under way in another thread; or a buffer is
                              another controller's */
  THERMOE_FAILED = 4       /* out of memory, or a fault of the library's own */
};

/* One controller: of one model on one GPU. */
typedef struct thermoe_controller thermoe_controller;

/* "0.1.0", and the THERMOE_ABI_VERSION that the library has. */
THERMOE_API const char* thermoe_version(void);
THERMOE_API uint32_t thermoe_abi_version(void);

/* The message of this thread's last call that failed; "" before the first. Valid until the thread's
 * next failure. */
THERMOE_API const char* thermoe_last_error(void);

/* Opens a controller. `config` is JSON text, or the path of a JSON file where its first letter is
 * no brace. docs/engines.md documents every key; unknown ones are refused with the nearest known.
 * Paths in it are relative to its file's folder, of JSON text to the working directory.
 *
 * Until the router has been seen for long enough (control.calibration_samples sampled steps) the
 * plan is plain top-k, and thermoe_state.reason says so.
 *
 * `controller` gets the handle, to be given back by thermoe_close. */
THERMOE_API thermoe_status thermoe_open(const char* config, thermoe_controller** controller);

/* Ends the controller's thread: waits for a decision under way (milliseconds). Every pointer that
 * the controller gave out ends with it, a bound buffer is free for another. NULL is allowed. */
THERMOE_API void thermoe_close(thermoe_controller* controller);

/* ---- What holds for the next step ------------------------------------------------------------ */

/* thermoe_decision.flags */
enum {
  THERMOE_CHANGED = 1, /* `version` is another than the last thermoe_acquire gave */
  THERMOE_SAFE = 2,    /* no decision followed the last one in time: the safe plan stands in */
  THERMOE_EXPIRES = 4, /* valid_for_s has a meaning */
  THERMOE_SAMPLE_WANTED = 8, /* the controller would like this step's gate logits */
  THERMOE_CALIBRATING = 16   /* plain top-k, as the router has not been seen for long enough */
};

/*
 * The plan is one block, the same bytes on CPU and GPU, little endian, with L = layers and
 * E = experts (docs/adr/0003-plan-buffer.md):
 *
 *   0               thermoe_plan_header     64 B
 *   64              thermoe_layer_plan      [L], 32 B each
 *   64 + 32 L       selection_bias f32      [L, E]: b, in units of u, subtracted from p + beta
 *   ... + 4 L E     activation_price f32    [L, E]: in units of u, 0 .. +infinity
 *   ... + 4 L E     variant u8              [L, E]: precision of the expert, 0 = as loaded
 *   ... + L E       reserved u8             [L, E]: zero
 *
 * rounded up to 64 bytes. The ops of the Python package and of src/kernels read it. One of zero
 * biases and prices with k_min = k is plain top-k, bit for bit.
 */
typedef struct thermoe_plan_header {
  uint32_t magic;          /* "THPL" */
  uint32_t layout_version; /* 2 */
  uint64_t version;        /* thermoe_decision.version */
  uint32_t layers;
  uint32_t experts;
  uint32_t reserved[10];
} thermoe_plan_header;

typedef struct thermoe_layer_plan {
  int32_t k;     /* experts a token */
  int32_t k_min; /* each token's k_min best are never priced out */
  float extra_k_share;
  float extra_k_min_share;
  uint32_t reserved[4];
} thermoe_layer_plan;

typedef struct thermoe_decision {
  size_t size;
  /* Grows with every change, not always by one. Equal: plan, mask and period are as before. */
  uint64_t version;
  uint64_t flags;
  /* The plan block. It and the mask stay untouched until the next thermoe_acquire (or
   * thermoe_bind_plan). */
  const void* plan;
  size_t plan_bytes;
  /* For an engine that cannot run a plan: u8 [layers, experts], 1 where a token may go. At least k
   * of a layer are 1. NULL unless the configuration's "applies" is "mask". */
  const uint8_t* active;
  size_t active_bytes;
  /* Shortest time from one decode step's start to the next one's; 0: the next at once. Mixed
   * (prefill) steps are not paced. */
  double step_period_s;
  /* How long the decision holds from now on, if no newer one comes. Afterwards thermoe_acquire
   * gives the safe plan. */
  double valid_for_s;
} thermoe_decision;

/* Fills `decision` (its `size` set) with what holds now. Wait-free. */
THERMOE_API thermoe_status thermoe_acquire(thermoe_controller* controller,
                                           struct thermoe_decision* decision);

/* Bytes of the plan block of such a router; 0 for an impossible one. */
THERMOE_API size_t thermoe_plan_bytes(uint32_t layers, uint32_t experts);

/* Has every thermoe_acquire copy a changed plan to an address of the caller's, for example pinned
 * memory that a captured graph copies from. `bytes` must be thermoe_plan_bytes of the model. The
 * buffer must be zeroed, or hold a plan of this shape; one that another controller has bound and
 * not yet closed is refused with THERMOE_BUSY. It must outlive the controller, or be unbound first
 * by a `buffer` of NULL. Not while thermoe_acquire is under way, and between two steps: the
 * pointers that the last thermoe_acquire gave end here. */
THERMOE_API thermoe_status thermoe_bind_plan(thermoe_controller* controller, void* buffer,
                                             size_t bytes);

/* ---- What a step ran ------------------------------------------------------------------------- */

/* thermoe_step.flags */
enum {
  THERMOE_MIXED = 1 /* it read prompts, whether or not it decoded beside them */
};
/* thermoe_step.logits_type */
enum { THERMOE_F32 = 0, THERMOE_F16 = 1, THERMOE_BF16 = 2 };

typedef struct thermoe_step {
  size_t size;
  /* thermoe_decision.version that it ran under. */
  uint64_t version;
  uint64_t flags;
  /* How long it took, and from the start of the step before to its own start; 0: not known, as of
   * the first. Others lie within a nanosecond and a million seconds. With a simulated GPU
   * step_time_s is not read: the GPU says how long a step takes. */
  double step_time_s;
  double step_period_s;
  /* Shape of `counts` and `logits`: the model's. */
  int32_t layers;
  int32_t experts;
  /* Tokens that it routed; padding rows are none. 1 or more, of a decode step the batch. */
  int32_t tokens;
  /* Rows that it ran, padding included (the captured graph's size); 0: `tokens`. */
  int32_t rows;
  /* [layers, experts], row-major: tokens that each expert received, 0 .. tokens. Read during the
   * call. NULL: not counted; a step with logits is to be counted. */
  const int32_t* counts;
  /* [layers, logit_rows, experts] of logits_type, row-major: gate logits before the score function,
   * of which each layer's first `tokens` rows count. Read during the call. NULL: not sampled.
   * THERMOE_SAMPLE_WANTED says when a sample is looked for; at other times, of a mixed step and of
   * one with more tokens than engine.batch_limit it is passed over. */
  const void* logits;
  int32_t logits_type;
  int32_t logit_rows; /* 0: `tokens` */

  /* -- end of the first version: what follows may be missing -- */

  /* Where requests arrive: sequences under way and requests waiting after the step, and the
   * requests that came and that ended since the step before. */
  int32_t running;
  int32_t waiting;
  int32_t arrived;
  int32_t finished;
  /* Mean -ln of the share that a token kept of its own top-k mass, nats; THERMOE_KNOWS_LOSS in
   * `known`. Absent: worked out from the sampled logits. */
  double quality_loss;
  uint64_t known;
} thermoe_step;

/* thermoe_step.known */
enum {
  THERMOE_KNOWS_SERVING = 1, /* running, waiting, arrived, finished */
  THERMOE_KNOWS_LOSS = 2
};
/* sizeof(thermoe_step) of the first version. */
#define THERMOE_STEP_SIZE_1 offsetof(struct thermoe_step, running)

/* Tells of a step that has ended. Copies into a slot and returns: no lock, no allocation, some
 * microseconds, and tens for a sample. While the controller is stalled and all slots are full, the
 * loads of a step are passed over; its times and tokens are not lost. */
THERMOE_API thermoe_status thermoe_observe(thermoe_controller* controller,
                                           const struct thermoe_step* step);

/* ---- Sensors of the caller's ----------------------------------------------------------------- */

/* thermoe_reading.known */
enum {
  THERMOE_KNOWS_POWER = 1,
  THERMOE_KNOWS_POWER_AVERAGE = 2,
  THERMOE_KNOWS_TEMPERATURE = 4,
  THERMOE_KNOWS_MEMORY_TEMPERATURE = 8
};

/* What a GPU showed. */
typedef struct thermoe_reading {
  size_t size;
  uint64_t known;
  double power_w;         /* instant: of the last tens of milliseconds */
  double power_average_w; /* over the last second */
  double temperature_c;
  double memory_temperature_c;
} thermoe_reading;

/* Hands in what the GPU's sensors show now; for configurations with "source": "caller". It replaces
 * the reading before; one that grows old counts as a sensor that fell silent. */
THERMOE_API thermoe_status thermoe_set_reading(thermoe_controller* controller,
                                               const struct thermoe_reading* reading);

/* ---- What the controller believes ------------------------------------------------------------ */

/* thermoe_state.plan_kind: each next one gives up more of what was asked. */
enum {
  THERMOE_PLAN_STRATEGY = 0,
  THERMOE_PLAN_LAST_SOUND = 1,
  THERMOE_PLAN_STATIC = 2,
  THERMOE_PLAN_BASELINE = 3
};
/* thermoe_state.known, beside those of thermoe_reading */
enum {
  THERMOE_KNOWS_PREDICTED_POWER = 16,
  THERMOE_KNOWS_PREDICTED_TEMPERATURE = 32,
  THERMOE_KNOWS_PREDICTED_STEP_TIME = 64,
  THERMOE_KNOWS_STEP_TIME = 128,      /* there were steps in the tick */
  THERMOE_KNOWS_ACTIVE_EXPERTS = 256, /* steps were counted in the tick */
  THERMOE_KNOWS_QUALITY_LOSS = 512
};

typedef struct thermoe_state {
  size_t size;
  uint64_t known;
  uint64_t ticks; /* decisions so far */
  /* Steps observed, their tokens, and steps whose loads were passed over. */
  uint64_t steps;
  uint64_t tokens;
  uint64_t skipped;
  int32_t plan_kind;
  int32_t saturated; /* 1: the targets are out of reach, the plan is at its floor */
  int32_t simulated; /* 1: watts and degrees are a simulated GPU's */
  int32_t reserved;
  double lambda;              /* activation price, 0: none */
  double step_period_s;       /* of the decision */
  double predicted_kept_mass; /* share of a token's own top-k mass, on sampled logits */
  double predicted_active;    /* mean distinct experts a layer */
  double predicted_power_w;
  double predicted_temperature_c;
  double predicted_step_time_s;
  /* Sensors as the controller sees them. */
  double power_w;
  double power_average_w;
  double temperature_c;
  double memory_temperature_c;
  /* Of the last tick's steps: their mean. */
  double step_time_s;
  double measured_step_period_s;
  double active_experts; /* mean distinct experts a layer that received a token */
  double quality_loss;   /* nats: of the newest sample under the plan that ran */
  /* What runs instead of the strategy's plan and why; "" while in control. Ends with a zero, cut
   * where it would be longer. */
  char reason[256];
} thermoe_state;

/* The state of the last control tick. Takes a lock that the controller holds for microseconds. */
THERMOE_API thermoe_status thermoe_read_state(thermoe_controller* controller,
                                              struct thermoe_state* state);

/* Where the configuration's "metrics" are served, "http://127.0.0.1:9464/metrics"; "" where they
 * are not. Valid until thermoe_close. */
THERMOE_API const char* thermoe_metrics_url(thermoe_controller* controller);

/* ---- Without a thread of the controller's ---------------------------------------------------- */

/* For configurations with control.thread false, whose time is the caller's: a simulation, a test, a
 * program with a scheduler of its own. Sets the time to `now_s`, which begins at 0 and never falls,
 * and runs the control ticks that have come due, on this thread: milliseconds a tick. */
THERMOE_API thermoe_status thermoe_advance(thermoe_controller* controller, double now_s);

/* ---- Sensors and joules ---------------------------------------------------------------------- */

typedef struct thermoe_sensors thermoe_sensors;

/* Starts reading sensors in threads of their own. `config` is a JSON object; every key may be left
 * out:
 * - source: machine (NVML and the host, as far as there are any), nvml, host, replay, simulated
 * - gpus: "all", or indices and UUIDs with commas between them
 * - cuda_visible_devices: the same as CUDA_VISIBLE_DEVICES says it, where `gpus` is not given
 * - nvml_library: where the driver's library is
 * - file: of replay, a recording (docs/monitor.md)
 * - plant: of simulated, the GPU's parameters (docs/plant.md)
 *
 * No sensor at all is no error: what is read is then absent, and `problems` says why. Waits until
 * each source has answered, 15 s at most. */
THERMOE_API thermoe_status thermoe_sensors_open(const char* config, thermoe_sensors** sensors);

/* Ends the reading. A driver that hangs is left behind with its thread. NULL is allowed. */
THERMOE_API void thermoe_sensors_close(thermoe_sensors* sensors);

/* The newest readings, without a wait: {"source", "simulated", "gpus", "host", "problems"}. Sensors
 * have the names of a recording's columns; absent ones are null. `age_s` is that of a GPU's or host
 * sensor's poll. */
THERMOE_API thermoe_status thermoe_sensors_read(thermoe_sensors* sensors, const char** json);

/* A window of time begins. Reads every sensor afresh first: waits for them 1 s at most. */
THERMOE_API thermoe_status thermoe_window_begin(thermoe_sensors* sensors);

/* The window ends, as `thermoe measure --json` tells it (docs/measure.md): joules, seconds, mean
 * watts, null where no sensor says, and why. `unit` names what was done, `units` how many; NULL:
 * not counted. Without a window it is refused. Waits as thermoe_window_begin does. */
THERMOE_API thermoe_status thermoe_window_end(thermoe_sensors* sensors, const char* unit,
                                              const double* units, const char** json);

/* ---- Costs ----------------------------------------------------------------------------------- */

typedef struct thermoe_costs thermoe_costs;

/* Loads a kernel_cost_model.json (docs/adr/0005-cost-schema.md). */
THERMOE_API thermoe_status thermoe_costs_open(const char* path, thermoe_costs** costs);
THERMOE_API void thermoe_costs_close(thermoe_costs* costs);

/* What the model has: {"device", "driver", "idle_active_w", "idle_cold_w", "models": [{"name",
 * "layers", "shape": [experts, k, d_model, d_ff]}], "tables": [{"op", "shape", "dtype"}]}. */
THERMOE_API thermoe_status thermoe_costs_describe(thermoe_costs* costs, const char** json);

/* thermoe_cost.basis, from firm to doubtful */
enum { THERMOE_MEASURED = 0, THERMOE_INTERPOLATED = 1, THERMOE_EXTRAPOLATED = 2 };

typedef struct thermoe_cost {
  size_t size;
  double latency_s;
  double energy_j; /* above active idle */
  int32_t basis;
  int32_t reserved;
} thermoe_cost;

/* One layer of experts at so many tokens, `active` of its experts distinct. `shape` is [experts, k,
 * d_model, d_ff], of gated experts (SwiGLU) where `gated` is not 0. */
THERMOE_API thermoe_status thermoe_costs_layer(thermoe_costs* costs, const int32_t shape[4],
                                               int32_t gated, const char* dtype, double tokens,
                                               double active, struct thermoe_cost* cost);

#ifdef __cplusplus
}
#endif
