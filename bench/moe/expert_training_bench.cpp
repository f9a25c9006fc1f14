// SPDX-License-Identifier: Apache-2.0
// Forward and backward of a training step's experts in SimpleExpert's two forms: all experts as one
// wide masked feed-forward, and each expert on its own tokens' rows.
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "moe/device.h"
#include "moe/simple_expert.h"

namespace thermoe {
namespace {

struct Options {
  std::string device = "cuda";
  bool f32 = false;
  std::int64_t tokens = 64 * 1024;  // a step of `thermoe train`
  std::int64_t checked_tokens = 2048;
  int rounds = 30;
  std::vector<int> experts{128, 512};
};

/// A layer's parameters and a batch with its picks; what gradients go to are leaves.
struct Step {
  Step(const ModelConfig& config, std::int64_t tokens, at::Device device)
      : experts(SimpleExpert::random(config)) {
    x = at::randn({tokens, config.d_model}).to(device);
    const auto [scores, best] =
        at::topk(at::randn({tokens, config.experts}).to(device).softmax(-1), config.top_k, -1);
    ids = best.to(at::kInt);
    weights = scores / scores.sum(-1, /*keepdim=*/true);
    grad = at::randn({tokens, config.d_model}).to(device);
    for (at::Tensor* t : {&experts.gate, &experts.up, &experts.down}) *t = t->to(device);
    for (const at::Tensor& t : leaves()) t.set_requires_grad(true);
  }

  std::vector<at::Tensor> leaves() const {
    return {x, experts.gate, experts.up, experts.down, weights};
  }

  SimpleExpert experts;
  at::Tensor x;
  at::Tensor ids;
  at::Tensor weights;
  at::Tensor grad;
};

/// The output, then the leaves' gradients.
using Result = std::vector<at::Tensor>;
using Form = std::function<at::Tensor(const Step&, at::ScalarType)>;

at::Tensor wide(const Step& s, at::ScalarType compute) {
  const at::Tensor gates = at::zeros({s.x.size(0), s.experts.gate.size(0)}, s.weights.options())
                               .scatter(1, s.ids.to(at::kLong), s.weights);
  return s.experts.forward(s.x, gates, compute);
}
at::Tensor own_rows(const Step& s, at::ScalarType compute) {
  return s.experts.forward(s.x, s.ids, s.weights, compute);
}

Result forward_backward(const Form& form, const Step& step, at::ScalarType compute) {
  const at::Tensor out = form(step, compute);
  Result result = torch::autograd::grad({out}, step.leaves(), {step.grad});
  result.insert(result.begin(), out.detach());
  return result;
}

double relative_error(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor exact = want.to(at::kDouble);
  return ((got.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

/// Against the wide form in f32, which rounds products least.
nlohmann::json errors(const Result& got, const Result& want) {
  constexpr const char* kNames[] = {"out",     "grad_x",    "grad_gate",
                                    "grad_up", "grad_down", "grad_weights"};
  nlohmann::json made;
  for (std::size_t i = 0; i < want.size(); ++i) made[kNames[i]] = relative_error(got[i], want[i]);
  return made;
}

void finish(at::Device device) {
  if (device.is_cuda())
    c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

/// Milliseconds of each round, sorted. Rounds are queued one by one.
std::vector<double> time_rounds(const std::function<void()>& work, int rounds, at::Device device) {
  for (int i = 0; i < 3; ++i) work();
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    finish(device);
    const auto start = std::chrono::steady_clock::now();
    work();
    finish(device);
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::ranges::sort(times);
  return times;
}

std::optional<double> peak_gigabytes(at::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return static_cast<double>(stats.allocated_bytes[0].peak) / 1e9;
}

nlohmann::json measure(const char* name, const Form& form, const ModelConfig& config,
                       const Options& o, at::Device device) {
  const at::ScalarType compute = o.f32 ? at::kFloat : at::kBFloat16;
  torch::manual_seed(1);
  const Step checked(config, o.checked_tokens, device);
  const Result exact = forward_backward(wide, checked, at::kFloat);
  const Result got = forward_backward(form, checked, compute);
  const Result again = forward_backward(form, checked, compute);
  bool repeats = true;
  for (std::size_t i = 0; i < got.size(); ++i) repeats = repeats && at::equal(got[i], again[i]);

  const Step step(config, o.tokens, device);
  if (device.is_cuda()) c10::getDeviceAllocator(device.type())->resetPeakStats(device.index());
  const std::vector<double> times =
      time_rounds([&] { forward_backward(form, step, compute); }, o.rounds, device);
  nlohmann::json row = {{"form", name},
                        {"experts", config.experts},
                        {"tokens", o.tokens},
                        {"median_ms", times[times.size() / 2]},
                        {"p10_ms", times[times.size() / 10]},
                        {"p90_ms", times[times.size() * 9 / 10]},
                        {"repeats_bit_for_bit", repeats},
                        {"relative_error", errors(got, exact)}};
  if (const auto peak = peak_gigabytes(device)) row["peak_gb"] = *peak;
  return row;
}

int run(const Options& o) {
  at::globalContext().setAllowTF32CuBLAS(false);
  at::Device device = torch_device(o.device);
  if (device.is_cuda() && !device.has_index()) device.set_index(0);
  nlohmann::json out = {
      {"schema", 1}, {"torch", TORCH_VERSION}, {"compute", o.f32 ? "f32" : "bf16"}};
  for (const int experts : o.experts) {
    const ModelConfig config{.experts = experts};  // else the shipped model's shape
    out["d_model"] = config.d_model;
    out["d_ff"] = config.d_ff;
    out["k"] = config.top_k;
    out["rows"].push_back(measure("wide masked", wide, config, o, device));
    out["rows"].push_back(measure("own rows", own_rows, config, o, device));
  }
  fmt::print("{}\n", out.dump(2));
  return 0;
}

}  // namespace
}  // namespace thermoe

int main(int argc, char** argv) {
  thermoe::Options options;
  CLI::App app("Times a training step's experts, wide and masked or on their own tokens' rows");
  app.add_option("--device", options.device, "cpu or cuda")->capture_default_str();
  app.add_flag("--f32", options.f32, "Products in f32 instead of bf16");
  app.add_option("--tokens", options.tokens, "Tokens a step")->capture_default_str();
  app.add_option("--rounds", options.rounds, "Timed steps")->capture_default_str();
  app.add_option("--experts", options.experts, "Experts of the layer")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return thermoe::run(options);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}
