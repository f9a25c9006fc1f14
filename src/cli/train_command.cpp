// SPDX-License-Identifier: Apache-2.0
#include "cli/train_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/number_option.h"
#include "core/errors.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "moe/train.h"

namespace thermoe {
namespace {

void add_model_options(CLI::App& app, ModelConfig& m) {
  const std::string group = "Model";
  app.add_option("--layers", m.layers, "Transformer blocks")
      ->check(whole_number(1, 256))
      ->capture_default_str()
      ->group(group);
  app.add_option("--d-model", m.d_model, "Width of the residual stream")
      ->check(whole_number(2, 1 << 16))
      ->capture_default_str()
      ->group(group);
  app.add_option("--heads", m.heads, "Attention heads")
      ->check(whole_number(1, 1024))
      ->capture_default_str()
      ->group(group);
  app.add_option("--experts", m.experts, "Experts a layer")
      ->check(whole_number(1, 1024))
      ->capture_default_str()
      ->group(group);
  app.add_option("--top-k", m.top_k, "Experts per token")
      ->check(whole_number(1, 1024))
      ->capture_default_str()
      ->group(group);
  app.add_option("--d-ff", m.d_ff, "Hidden width of an expert")
      ->check(whole_number(1, 1 << 16))
      ->capture_default_str()
      ->group(group);
  app.add_option("--context", m.context, "Longest sequence")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
}

void add_optimiser_options(CLI::App& app, TrainConfig& c) {
  const std::string group = "Optimisation";
  app.add_option("--steps", c.steps, "Optimiser steps")
      ->check(whole_number(1))
      ->capture_default_str()
      ->group(group);
  app.add_option("--sequences", c.sequences, "Sequences a step")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--length", c.length, "Bytes a sequence")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--learning-rate", c.learning_rate, "Peak (AdamW)")
      ->check(real_number(0.0, 100.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--final-learning-rate", c.final_learning_rate, "End of the cosine")
      ->check(real_number(0.0, 100.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--warmup-steps", c.warmup_steps, "Linear warm-up")
      ->check(whole_number(0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--weight-decay", c.weight_decay, "On matrices")
      ->check(real_number(0.0, 100.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--seed", c.seed, "Initial weights, data order and draws")
      ->check(whole_number(0))
      ->capture_default_str()
      ->group(group);
}

void add_routing_options(CLI::App& app, TrainConfig& c) {
  const std::string group = "Routing losses";
  app.add_option("--load-balance-weight", c.load_balance_weight, "Weight of the load-balance loss")
      ->check(real_number(0.0, 1e6))
      ->capture_default_str()
      ->group(group);
  app.add_option("--energy-weight", c.energy_weight,
                 "Weight of the expected activation (energy loss)")
      ->check(real_number(0.0, 1e6))
      ->capture_default_str()
      ->group(group);
  app.add_option("--decode-batch", c.decode_batch, "Tokens decoded together in the energy loss")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--elastic-share", c.elastic_share, "Share of tokens with a random k")
      ->check(real_number(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--elastic-min", c.elastic_min, "Smallest random k")
      ->check(whole_number(1, 1024))
      ->capture_default_str()
      ->group(group);
}

void print_progress(const TrainProgress& row, std::int64_t steps) {
  say(fmt::format(
      "step {:>6}/{}  {:6.4f} bits/byte  balance {:5.3f}  lr {:.2e}  {:8.0f} tokens/s{}\n",
      row.step, steps, row.bits_per_byte, row.load_balance, row.learning_rate,
      row.tokens_per_second,
      row.heldout_bits_per_byte ? fmt::format("  held-out {:6.4f}", *row.heldout_bits_per_byte)
                                : ""));
}

}  // namespace

void add_train_command(CLI::App& app, const std::atomic<bool>& stop) {
  CLI::App* command = app.add_subcommand("train", "Train the byte-level MoE language model");
  auto config = std::make_shared<TrainConfig>();
  command->footer(
      "Example:\n  thermoe train --text corpus/train.bin --heldout corpus/heldout.bin --out "
      "runs/train "
      "--device cuda --bf16 --steps 6000\nLeaves loss.csv, train.json and model.safetensors in "
      "--out. "
      "Ctrl-C saves a state; --resume goes on from it.");
  command->add_option("--text", config->text, "Training bytes, documents separated by 0x00")
      ->required();
  command->add_option("--heldout", config->heldout, "Held-out bytes for the loss curve");
  command->add_option("--out", config->out, "Directory of the run")->required();
  command->add_option("--device", config->device, "cpu, cuda or cuda:N")->capture_default_str();
  command->add_flag("--bf16", config->bf16, "Matrix products in bf16 (parameters stay f32)");
  command->add_flag("--resume", config->resume, "Go on from the newest saved state in --out");
  command->add_option("--log-every", config->log_every, "Steps between rows of loss.csv")
      ->check(whole_number(1))
      ->capture_default_str();
  command
      ->add_option("--eval-every", config->eval_every,
                   "Steps between held-out evaluations (0: at the end)")
      ->check(whole_number(0))
      ->capture_default_str();
  command->add_option("--save-every", config->save_every, "Steps between saved states (0: none)")
      ->check(whole_number(0))
      ->capture_default_str();
  add_model_options(*command, config->model);
  add_optimiser_options(*command, *config);
  add_routing_options(*command, *config);
  command->callback([config, &stop] {
    const bool whole = train(
        *config, [&](const TrainProgress& row) { print_progress(row, config->steps); },
        [&stop] { return stop.load(); });
    if (!whole)
      throw Error(fmt::format("stopped; the state is saved in {}: --resume goes on", config->out));
    fmt::print("{}/model.safetensors\n", printable(config->out, true));
  });
}

}  // namespace thermoe
