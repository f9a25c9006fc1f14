/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine without a model: it "serves" recorded gate logits, 16 sequences a step, 1000 tokens a
 * second, on a SIMULATED GPU, first as it is and then with its watts capped through thermoe.h.
 *
 *   toy_engine DATA_FOLDER CAP_W
 *
 * DATA_FOLDER is the repository's data/. A real engine has its own router, clock and GPU: it leaves
 * out thermoe_advance and names its GPU in "telemetry".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thermoe.h>

#define K 8
#define PERIOD_S 0.016
#define SECONDS 40

/* ---- Recorded gate logits: a tensor router_logits of a safetensors file, bf16 ------------------ */

struct trace {
  long samples, layers, tokens, experts;
  uint16_t* logits; /* [samples, layers, tokens, experts] */
};

static int read_trace(const char* path, struct trace* trace) {
  uint64_t header_bytes = 0;
  long begin = 0, end = 0;
  FILE* file = fopen(path, "rb");
  if (file == NULL || fread(&header_bytes, 8, 1, file) != 1 || header_bytes > 1000000) return 0;
  char* header = calloc(1, header_bytes + 1);
  int sound = header != NULL && fread(header, 1, header_bytes, file) == header_bytes;
  const char* tensor = sound ? strstr(header, "\"router_logits\"") : NULL;
  const char* shape = tensor != NULL ? strstr(tensor, "\"shape\"") : NULL;
  const char* data = tensor != NULL ? strstr(tensor, "\"data_offsets\"") : NULL;
  sound = shape != NULL && data != NULL &&
          sscanf(shape, "\"shape\" : [ %ld , %ld , %ld , %ld ]", &trace->samples, &trace->layers,
                 &trace->tokens, &trace->experts) == 4 &&
          sscanf(data, "\"data_offsets\" : [ %ld , %ld ]", &begin, &end) == 2 &&
          end - begin == 2 * trace->samples * trace->layers * trace->tokens * trace->experts;
  if (sound) {
    trace->logits = malloc((size_t)(end - begin));
    sound = trace->logits != NULL && fseek(file, 8 + (long)header_bytes + begin, SEEK_SET) == 0 &&
            fread(trace->logits, 1, (size_t)(end - begin), file) == (size_t)(end - begin);
  }
  free(header);
  fclose(file);
  return sound;
}

/* ---- The engine's router: top-k of a row's logits, among the experts that are active ------------ */

static float widened(uint16_t bf16) {
  const uint32_t bits = (uint32_t)bf16 << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void route(const uint16_t* row, long experts, const uint8_t* active, int32_t* counts) {
  int picked[K];
  for (int k = 0; k < K; ++k) {
    int best = -1;
    for (int e = 0; e < experts; ++e) {
      int taken = active != NULL && !active[e];
      for (int i = 0; i < k; ++i) taken |= picked[i] == e;
      if (!taken && (best < 0 || widened(row[e]) > widened(row[best]))) best = e;
    }
    picked[k] = best;
    ++counts[best];
  }
}

/* ---- Serving ------------------------------------------------------------------------------------ */

struct figures {
  double watts, experts, loss;
};

static void die(const char* what) {
  fprintf(stderr, "toy_engine: %s: %s\n", what, thermoe_last_error());
  exit(1);
}

static thermoe_controller* open_controller(const char* data, const char* strategy, double cap,
                                           const struct trace* trace) {
  char config[4096];
  snprintf(config, sizeof config,
           "{\"model\": {\"layers\": %ld, \"experts\": %ld, \"k\": %d},"
           " \"applies\": \"mask\", \"strategy\": \"%s\", \"targets\": {\"power_w\": %.1f},"
           " \"cost_model\": \"%s/h100/kernel_cost_model.json\", \"costed_as\": \"Qwen3-30B-A3B\","
           " \"telemetry\": {\"source\": \"simulated\", \"plant\": \"%s/h100/plant.json\","
           "                 \"cost_model\": \"%s/h100/plant_cost_model.json\"},"
           " \"control\": {\"thread\": false, \"step_period_s\": %.4f}}",
           trace->layers, trace->experts, K, strategy, cap, data, data, data, PERIOD_S);
  thermoe_controller* controller = NULL;
  if (thermoe_open(config, &controller) != THERMOE_OK) die("thermoe_open");
  return controller;
}

static struct figures serve(const char* data, const char* strategy, double cap,
                            const struct trace* trace) {
  thermoe_controller* controller = open_controller(data, strategy, cap, trace);
  const size_t layer = (size_t)(trace->tokens * trace->experts);
  int32_t* counts = calloc((size_t)(trace->layers * trace->experts), sizeof *counts);
  struct figures sum = {0, 0, 0};
  double now = 0.0, next_line = 5.0;
  int lines = 0;
  if (counts == NULL) exit(1);
  for (long step = 0; now < SECONDS; ++step) {
    thermoe_decision decision = THERMOE_INIT(thermoe_decision);
    if (thermoe_acquire(controller, &decision) != THERMOE_OK) die("thermoe_acquire");

    const uint16_t* logits =
        trace->logits + (size_t)(step % trace->samples) * (size_t)trace->layers * layer;
    memset(counts, 0, (size_t)(trace->layers * trace->experts) * sizeof *counts);
    for (long l = 0; l < trace->layers; ++l) {
      const uint8_t* active = decision.active == NULL ? NULL : decision.active + l * trace->experts;
      for (long t = 0; t < trace->tokens; ++t) {
        route(logits + (size_t)l * layer + t * trace->experts, trace->experts, active,
              counts + l * trace->experts);
      }
    }

    const double period = decision.step_period_s > PERIOD_S ? decision.step_period_s : PERIOD_S;
    thermoe_step ran = THERMOE_INIT(thermoe_step);
    ran.version = decision.version;
    ran.step_period_s = period;
    ran.layers = (int32_t)trace->layers;
    ran.experts = (int32_t)trace->experts;
    ran.tokens = (int32_t)trace->tokens;
    ran.counts = counts;
    if (decision.flags & THERMOE_SAMPLE_WANTED) {
      ran.logits = logits;
      ran.logits_type = THERMOE_BF16;
    }
    if (thermoe_observe(controller, &ran) != THERMOE_OK) die("thermoe_observe");

    now += period;
    if (thermoe_advance(controller, now) != THERMOE_OK) die("thermoe_advance");
    if (now < next_line) continue;
    next_line += 5.0;
    thermoe_state state = THERMOE_INIT(thermoe_state);
    if (thermoe_read_state(controller, &state) != THERMOE_OK) die("thermoe_read_state");
    printf("%6.0f  %-17s  %5.1f W  %5.1f experts  %.3f nats%s%s\n", now, strategy,
           state.power_average_w, state.active_experts, state.quality_loss,
           state.reason[0] ? "  " : "", state.reason);
    if (now < SECONDS / 2.0) continue; /* the second half counts: control has settled */
    sum.watts += state.power_average_w;
    sum.experts += state.active_experts;
    sum.loss += state.quality_loss;
    ++lines;
  }
  thermoe_close(controller);
  free(counts);
  return (struct figures){sum.watts / lines, sum.experts / lines, sum.loss / lines};
}

int main(int argc, char** argv) {
  char path[1024];
  struct trace trace = {0};
  if (argc != 3) {
    fprintf(stderr, "usage: toy_engine DATA_FOLDER CAP_W\n");
    return 2;
  }
  snprintf(path, sizeof path, "%s/traces/synthetic-e128-k8-b16.safetensors", argv[1]);
  if (!read_trace(path, &trace)) {
    fprintf(stderr, "toy_engine: %s is not there or holds no bf16 tensor router_logits of 4 dimensions\n", path);
    return 2;
  }
  const double cap = atof(argv[2]);
  printf("thermoe %s, simulated GPU, %ld sequences at %.0f tokens/s\n\n", thermoe_version(),
         trace.tokens, (double)trace.tokens / PERIOD_S);
  printf("time s  strategy           power    distinct a layer  loss\n");
  const struct figures plain = serve(argv[1], "BASELINE", cap, &trace);
  const struct figures capped = serve(argv[1], "KERNEL_AWARE_TTHA", cap, &trace);
  printf("\nsimulated: %.1f W as it is, %.1f W under a cap of %.0f W; %.1f and %.1f experts a layer; "
         "%.3f nats lost\n",
         plain.watts, capped.watts, cap, plain.experts, capped.experts, capped.loss);
  free(trace.logits);
  return 0;
}
