// SPDX-License-Identifier: Apache-2.0
#include "moe/train.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numbers>

#include "core/errors.h"
#include "moe/device.h"
#include "moe/energy_loss.h"
#include "moe/language_model.h"
#include "moe/loss_curve.h"
#include "moe/text_batches.h"
#include "moe/train_state.h"

namespace thermoe {
namespace {

double learning_rate_at(const TrainConfig& c, std::int64_t step) {
  if (step < c.warmup_steps)
    return c.learning_rate * static_cast<double>(step + 1) / c.warmup_steps;
  const double span = static_cast<double>(std::max<std::int64_t>(1, c.steps - c.warmup_steps));
  const double done = std::min(1.0, static_cast<double>(step - c.warmup_steps) / span);
  return c.final_learning_rate + 0.5 * (c.learning_rate - c.final_learning_rate) *
                                     (1.0 + std::cos(std::numbers::pi * done));
}

/// Weight decay on matrices, none on norms.
std::unique_ptr<torch::optim::AdamW> make_optimizer(LanguageModel& model, const TrainConfig& c) {
  std::vector<at::Tensor> matrices;
  std::vector<at::Tensor> vectors;
  for (const at::Tensor& p : model->parameters()) (p.dim() > 1 ? matrices : vectors).push_back(p);
  const auto options = [&c](double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(c.learning_rate).betas({0.9, 0.95}).weight_decay(decay));
  };
  return std::make_unique<torch::optim::AdamW>(std::vector<torch::optim::OptimizerParamGroup>{
      {matrices, options(c.weight_decay)}, {vectors, options(0.0)}});
}

/// Scales gradients so that their joint norm is at most `limit`, without asking the device for it.
void clip_gradients(const std::vector<at::Tensor>& parameters, double limit) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (const at::Tensor& p : parameters) norms.push_back(p.grad().norm());
  const at::Tensor scale = (limit / (at::stack(norms).norm() + 1e-6)).clamp_max(1.0);
  for (const at::Tensor& p : parameters) p.grad().mul_(scale);
}

/// A mean kept on the device until somebody asks.
class RunningMean {
 public:
  void add(const at::Tensor& value) {
    sum_ = sum_.defined() ? sum_ + value.detach() : value.detach();
    ++count_;
  }
  double take() {
    const double mean = count_ == 0 ? 0.0 : sum_.item<double>() / count_;
    sum_ = at::Tensor();
    count_ = 0;
    return mean;
  }

 private:
  at::Tensor sum_{};
  int count_ = 0;
};

class Trainer {
 public:
  explicit Trainer(const TrainConfig& config)
      : config_(config),
        device_(torch_device(config.device)),
        text_(config.text, config.length, device_),
        how_{.compute = config.bf16 ? at::kBFloat16 : at::kFloat,
             .elastic_share = config.elastic_share,
             .elastic_min = config.elastic_min} {
    if (!config.heldout.empty()) heldout_.emplace(config.heldout, config.length, device_);
    at::globalContext().setAllowTF32CuBLAS(true);
    torch::manual_seed(config.seed);
    model_ = LanguageModel(config.model);
    model_->to(device_);
    optimizer_ = make_optimizer(model_, config);
  }

  std::int64_t resume() { return load_train_state(config_.out, model_, *optimizer_, device_); }
  void save(std::int64_t step) { save_train_state(config_.out, step, model_, *optimizer_); }
  void finish() {
    model_->to(at::kCPU);
    save_language_model(model_, config_.out + "/model.safetensors", at::kBFloat16,
                        {{"thermoe_training", train_config_json(config_)}});
  }

  void step(std::int64_t index) {
    const double rate = learning_rate_at(config_, index);
    for (auto& group : optimizer_->param_groups()) {
      static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate);
    }
    torch::manual_seed(config_.seed + 0x1000003ULL * static_cast<std::uint64_t>(index + 1));
    const at::Tensor window = text_.draw(config_.sequences, config_.seed, index);
    optimizer_->zero_grad();
    loss(window).backward();
    clip_gradients(model_->parameters(), config_.gradient_clip);
    optimizer_->step();
  }

  /// Fills the means since the last call; synchronises the device.
  void measure(TrainProgress& row) {
    row.bits_per_byte = bits_.take();
    row.load_balance = balance_.take();
    row.energy = energy_.take();
  }

  std::optional<double> heldout_bits_per_byte() {
    if (!heldout_) return std::nullopt;
    const at::NoGradGuard no_grad;
    const TrainingForward plain{.compute = how_.compute};
    RunningMean bits;
    for (const at::Tensor& part : heldout_->spread(64).split(8))
      bits.add(bits_per_byte(part, plain).second);
    return bits.take();
  }

 private:
  std::pair<LanguageModelImpl::Output, at::Tensor> bits_per_byte(const at::Tensor& window,
                                                                 const TrainingForward& how) {
    const auto length = window.size(1) - 1;
    auto output = model_->forward(window.narrow(1, 0, length), how);
    const at::Tensor nats = at::cross_entropy_loss(output.logits.view({-1, output.logits.size(-1)}),
                                                   window.narrow(1, 1, length).reshape({-1}));
    return {std::move(output), nats / std::numbers::ln2};
  }

  at::Tensor loss(const at::Tensor& window) {
    const auto [output, bits] = bits_per_byte(window, how_);
    at::Tensor balance = at::zeros({}, bits.options());
    at::Tensor energy = at::zeros({}, bits.options());
    for (const TrainingRouting& routing : output.routing) {
      balance = balance + load_balance_loss(routing);
      const at::Tensor p = routing.probabilities.view({window.size(0), window.size(1) - 1, -1});
      if (config_.energy_weight > 0.0) {
        energy = energy + compute_energy_loss(p, config_.model.top_k, config_.decode_batch);
      }
    }
    const double layers = static_cast<double>(output.routing.size());
    bits_.add(bits);
    balance_.add(balance / layers);
    energy_.add(energy / layers);
    return bits * std::numbers::ln2 + config_.load_balance_weight * balance / layers +
           config_.energy_weight * energy / layers;
  }

  const TrainConfig& config_;
  at::Device device_;
  TextBatches text_;
  std::optional<TextBatches> heldout_{};
  TrainingForward how_;
  LanguageModel model_{nullptr};
  std::unique_ptr<torch::optim::AdamW> optimizer_{};
  RunningMean bits_{};
  RunningMean balance_{};
  RunningMean energy_{};
};

void check(const TrainConfig& c) {
  const auto need = [](bool ok, const char* what) {
    if (!ok) throw UsageError(fmt::format("train: {}", what));
  };
  need(!c.text.empty(), "--text is needed");
  need(!c.out.empty(), "--out is needed");
  need(c.steps > 0 && c.sequences > 0 && c.log_every > 0,
       "steps, sequences and log-every must be positive");
  need(c.length > 0 && c.length <= c.model.context, "--length must be within 1..context");
  need(c.elastic_share >= 0.0 && c.elastic_share <= 1.0, "--elastic-share must be within 0..1");
  need(c.elastic_min >= 1 && c.elastic_min <= c.model.top_k,
       "--elastic-min must be within 1..top-k");
}

}  // namespace

bool train(const TrainConfig& config, const std::function<void(const TrainProgress&)>& report,
           const std::function<bool()>& stop) {
  check(config);
  Trainer trainer(config);
  prepare_train_directory(config);
  const std::int64_t first = config.resume ? trainer.resume() : 0;
  LossCurve curve(config.out + "/loss.csv", first);

  const auto start = std::chrono::steady_clock::now();
  double before = 0.0;
  std::int64_t logged = first;
  for (std::int64_t step = first; step < config.steps; ++step) {
    if (stop()) {
      trainer.save(step);
      return false;
    }
    trainer.step(step);
    const std::int64_t done = step + 1;
    const bool last = done == config.steps;
    if (last || done % config.log_every == 0) {
      TrainProgress row{.step = done, .learning_rate = learning_rate_at(config, step)};
      trainer.measure(row);
      row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const auto tokens = static_cast<double>((done - logged) * config.sequences * config.length);
      row.tokens_per_second = tokens / std::max(1e-9, row.seconds - before);
      if (last || (config.eval_every > 0 && done % config.eval_every == 0)) {
        row.heldout_bits_per_byte = trainer.heldout_bits_per_byte();
      }
      if (!std::isfinite(row.bits_per_byte)) {
        throw Error(
            fmt::format("training diverged at step {}: lower --learning-rate and --resume", done));
      }
      before = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      logged = done;
      curve.add(row);
      report(row);
    }
    if (!last && config.save_every > 0 && done % config.save_every == 0) trainer.save(done);
  }
  trainer.finish();
  return true;
}

}  // namespace thermoe
