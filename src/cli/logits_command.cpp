// SPDX-License-Identifier: Apache-2.0
#include "cli/logits_command.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "cli/kernels_option.h"
#include "cli/number_option.h"
#include "cli/out_file.h"
#include "cli/terminal_progress.h"
#include "core/errors.h"
#include "core/terminal_text.h"
#include "moe/router_logits.h"
#include "run/forced_decode.h"
#include "run/model_decoder.h"
#include "run/sample_logits.h"

namespace thermoe {
namespace {

struct LogitsOptions {
  std::string model = "model/thermoe-e128.safetensors";
  std::string text = "data/text/calibration.bin";
  std::string index = "data/text/calibration.json";
  std::string out{};
  std::string kernels{to_string(Backend::kCpu)};
  int batch = 16;
  int samples = 64;
  std::uint64_t seed = 1;
};

void run(const LogitsOptions& options, const std::atomic<bool>& stop) {
  check_out_file(options.out);
  ModelDecoder decoder(Decoder::load(
      options.model, {.streams = options.batch, .kernels = checked_kernels(options.kernels)}));
  const DocumentText text = DocumentText::load(options.text, options.index);
  RouterLogits logits{.spec = decoder.router()};
  {
    TerminalProgress progress;
    ForcedDecode decode(decoder, text, {.streams = options.batch, .seed = options.seed});
    logits.samples = sample_logits(decode, {.samples = options.samples}, progress, stop);
  }
  if (stop.load()) throw Error(fmt::format("interrupted: {} was not written", options.out));
  write_router_logits(options.out, logits);
  const LogitSample& first = logits.samples.front();
  fmt::print("{}: {} samples of {} layers, {} tokens, {} experts; top-{}\n",
             printable(options.out, true), logits.samples.size(), first.layers, first.tokens,
             first.experts, logits.spec.k);
}

}  // namespace

void add_logits_command(CLI::App& app, const std::atomic<bool>& stop) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<LogitsOptions>();
  CLI::App* command = app.add_subcommand(
      "logits", "Sample a checkpoint's router logits while it decodes text, for thermoe price");
  command->add_option("--model", options->model, "Checkpoint (docs/model.md)")
      ->capture_default_str();
  command->add_option("--text", options->text, "Documents separated by 0x00")
      ->capture_default_str();
  command->add_option("--index", options->index, "Where each document lies")->capture_default_str();
  command->add_option("--out", options->out, "safetensors file to write")->required();
  command->add_option("--batch", options->batch, "Streams decoded together")
      ->check(whole_number(1, 1024))
      ->capture_default_str();
  command->add_option("--samples", options->samples, "Decode steps to keep, every fourth one")
      ->check(whole_number(1, 4096))
      ->capture_default_str();
  add_kernels_option(*command, options->kernels)->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the order of texts")
      ->check(whole_number(0));
  command->footer(
      "Example:\n"
      "  thermoe logits --out runs/logits.safetensors && thermoe price runs/logits.safetensors\n"
      "The file holds `router_logits` [samples, layers, tokens, experts] in f32, before the score\n"
      "function, and in its metadata how the model routes by them (docs/guide.md, Your model's "
      "router).\nthermoe price takes F32, BF16, F16 or F64, and refuses probabilities.\n"
      "tools/export_router_logits.py writes the same for a Hugging Face model.");
  command->callback([options, &stop] { run(*options, stop); });
}

}  // namespace thermoe
