// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "core/errors.h"
#include "half_floats.h"
#include "kernel_backend.h"

namespace thermoe {
namespace {

/// A backend with one of the types of activations that it takes.
struct Implementation {
  std::string name;
  KernelBackend backend;
  FloatType x_type;
};
void PrintTo(const Implementation& implementation, std::ostream* out) {
  *out << implementation.name;
}

std::vector<Implementation> implementations() {
  std::vector<Implementation> all;
  for (const KernelBackend& backend : linear_backends()) {
    if (backend.multiplies_bf16) {
      all.push_back({std::string(backend.name) + "_bf16", backend, FloatType::kBf16});
      all.push_back({std::string(backend.name) + "_f16", backend, FloatType::kF16});
    } else {
      all.push_back({backend.name, backend, FloatType::kF32});
    }
  }
  return all;
}

class FusedDequantLinearTest : public ::testing::TestWithParam<Implementation> {
  void SetUp() override {
    if (const auto problem = backend_problem(GetParam().backend.needs)) GTEST_SKIP() << *problem;
  }
};
INSTANTIATE_TEST_SUITE_P(FusedDequantLinear, FusedDequantLinearTest,
                         ::testing::ValuesIn(implementations()), BackendName());

std::vector<float> random_values(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

struct Problem {
  int tokens;
  int outputs;
  int inputs;
  Int4Format format{};
  Epilogue epilogue = Epilogue::kNone;
  bool bias = true;
};

/// A problem's memory.
struct Data {
  Data(const Problem& p, FloatType x_type)
      : x(random_values(static_cast<std::size_t>(p.tokens) * p.inputs, 1)),
        bias(random_values(p.outputs, 2)),
        up_bias(random_values(p.outputs, 3)) {
    for (float& v : x) v = rounded_to(x_type, v);
    const auto cells = static_cast<std::size_t>(p.outputs) * p.inputs;
    weights = quantise_int4(random_values(cells, 4).data(), p.outputs, p.inputs, p.format);
    up = quantise_int4(random_values(cells, 5).data(), p.outputs, p.inputs, p.format);
  }
  std::vector<float> x;
  std::vector<float> bias;
  std::vector<float> up_bias;
  Int4Weights weights;
  Int4Weights up;
};

/// Runs `args` on x, numbers that the implementation's type holds.
void run(const Implementation& implementation, FusedDequantLinearArgs args,
         const std::vector<float>& x) {
  args.x = x.data();
  args.x_type = implementation.x_type;
  std::vector<std::uint16_t> bits;
  if (args.x_type != FloatType::kF32) {
    for (const float v : x) bits.push_back(to_bits(args.x_type, v));
    args.x = bits.data();
  }
  implementation.backend.fused_dequant_linear(args);
}

std::vector<float> run(const Implementation& implementation, const Problem& p, const Data& data) {
  std::vector<float> out(static_cast<std::size_t>(p.tokens) * p.outputs, -77.0F);
  const bool gated = p.epilogue == Epilogue::kSiluMul;
  run(implementation,
      {.tokens = p.tokens,
       .weights = data.weights.view(),
       .bias = p.bias ? data.bias.data() : nullptr,
       .epilogue = p.epilogue,
       .up = gated ? data.up.view() : Int4View{},
       .up_bias = gated && p.bias ? data.up_bias.data() : nullptr,
       .out = out.data()},
      data.x);
  return out;
}

/// x . w + bias for one token and output, and the sum of the terms' sizes (what rounding scales
/// with).
struct Dot {
  double value;
  double size;
};
Dot dot(const Int4Weights& w, const float* x, int n, double bias) {
  Dot d{bias, std::abs(bias)};
  for (int k = 0; k < w.inputs(); ++k) {
    const int g = k / w.format().group;
    const double term = double{x[k]} * w.scale(n, g) * (w.q(n, k) - w.zero_point(n, g));
    d.value += term;
    d.size += std::abs(term);
  }
  return d;
}

double silu(double y) { return y / (1.0 + std::exp(-y)); }
double gelu(double y) {
  return 0.5 * y * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (y + 0.044715 * y * y * y)));
}

/// Against float64, on the rounded activations: within 4e-6 of the sum of the terms' sizes. On CUDA
/// that leaves the tensor cores, which sum sixteen products at a time with some 2^-22 of the
/// largest lost, room for the eight steps of a group.
void expect_matches_oracle(const Implementation& implementation, const Problem& p) {
  if (p.epilogue == Epilogue::kSiluMul && !implementation.backend.gates) return;
  const Data data(p, implementation.x_type);
  const std::vector<float> out = run(implementation, p, data);
  for (int t = 0; t < p.tokens; ++t) {
    const float* x = data.x.data() + static_cast<std::ptrdiff_t>(t) * p.inputs;
    for (int n = 0; n < p.outputs; ++n) {
      const Dot y = dot(data.weights, x, n, p.bias ? data.bias[n] : 0.0);
      const Dot up = dot(data.up, x, n, p.bias ? data.up_bias[n] : 0.0);
      double want = y.value;
      double size = y.size;
      if (p.epilogue == Epilogue::kRelu) want = std::max(0.0, y.value);
      if (p.epilogue == Epilogue::kGelu) want = gelu(y.value);
      if (p.epilogue == Epilogue::kSiluMul) {
        want = silu(y.value) * up.value;
        size *= 1.0 + up.size;
      }
      ASSERT_NEAR(out[static_cast<std::size_t>(t) * p.outputs + n], want, 4e-6 * (1.0 + size))
          << "token " << t << " output " << n;
    }
  }
}

TEST_P(FusedDequantLinearTest, MatchesTheOracleForEveryFormatAndEpilogue) {
  for (const int group : {32, 64, 128}) {
    for (const bool zero : {false, true}) {
      for (const auto epilogue :
           {Epilogue::kNone, Epilogue::kRelu, Epilogue::kGelu, Epilogue::kSiluMul}) {
        SCOPED_TRACE(testing::Message()
                     << group << ' ' << zero << ' ' << static_cast<int>(epilogue));
        expect_matches_oracle(GetParam(), {.tokens = 5,
                                           .outputs = 40,
                                           .inputs = 256,
                                           .format{group, zero},
                                           .epilogue = epilogue});
      }
    }
  }
}

TEST_P(FusedDequantLinearTest, MatchesTheOracleForRaggedSizes) {
  for (const int tokens : {0, 1, 2, 3, 4, 7, 8, 9, 16, 17, 64}) {
    for (const int outputs : {1, 15, 16, 17, 33}) {
      for (const auto epilogue : {Epilogue::kNone, Epilogue::kSiluMul}) {
        SCOPED_TRACE(testing::Message() << tokens << " x " << outputs);
        expect_matches_oracle(GetParam(), {.tokens = tokens,
                                           .outputs = outputs,
                                           .inputs = 64,
                                           .format{.group = 32},
                                           .epilogue = epilogue,
                                           .bias = tokens % 2 == 0});
      }
    }
  }
}

TEST_P(FusedDequantLinearTest, ATokensResultDoesNotDependOnTheOthers) {
  const Problem all{
      .tokens = 11, .outputs = 24, .inputs = 128, .format{64, true}, .epilogue = Epilogue::kGelu};
  const Data data(all, GetParam().x_type);
  const std::vector<float> together = run(GetParam(), all, data);
  Problem one = all;
  one.tokens = 1;
  Data row = data;
  for (int t = 0; t < all.tokens; ++t) {
    row.x.assign(data.x.begin() + t * 128, data.x.begin() + (t + 1) * 128);
    const std::vector<float> alone = run(GetParam(), one, row);
    EXPECT_EQ(alone, std::vector(together.begin() + t * 24, together.begin() + (t + 1) * 24));
  }
}

TEST_P(FusedDequantLinearTest, MatchesTheOracleForBatchesAndLayersLargerThanABlock) {
  for (const auto epilogue : {Epilogue::kRelu, Epilogue::kSiluMul}) {
    for (const bool zero : {false, true}) {
      expect_matches_oracle(
          GetParam(),
          {.tokens = 141, .outputs = 300, .inputs = 160, .format{32, zero}, .epilogue = epilogue});
    }
  }
}

TEST_P(FusedDequantLinearTest, MatchesTheOracleForManyTokensAndForManyInputs) {
  expect_matches_oracle(GetParam(), {.tokens = 300, .outputs = 33, .inputs = 128});
  for (const int tokens : {1, 9, 20}) {
    for (const auto epilogue : {Epilogue::kNone, Epilogue::kSiluMul}) {
      expect_matches_oracle(GetParam(), {.tokens = tokens,
                                         .outputs = 40,
                                         .inputs = 12'288 + 96,
                                         .format{32, true},
                                         .epilogue = epilogue});
    }
  }
  // More panels than a device has multiprocessors, and several for each.
  expect_matches_oracle(GetParam(), {.tokens = 9, .outputs = 16 * 700 + 5, .inputs = 256});
}

TEST_P(FusedDequantLinearTest, ATokensResultIsTheSameInALargeBatch) {
  const Problem all{.tokens = 139, .outputs = 40, .inputs = 192, .format{64, true}};
  const Data data(all, GetParam().x_type);
  const std::vector<float> together = run(GetParam(), all, data);
  Data few = data;
  for (const int tokens : {1, 3, 8, 16, 17, 40}) {
    Problem some = all;
    some.tokens = tokens;
    few.x.assign(data.x.end() - tokens * 192, data.x.end());
    EXPECT_EQ(run(GetParam(), some, few), std::vector(together.end() - tokens * 40, together.end()))
        << tokens;
  }
}

TEST_P(FusedDequantLinearTest, AWeightAtItsZeroPointWeighsExactlyNothing) {
  Int4Weights weights(20, 64, {.group = 32, .with_zero_point = true});
  for (int n = 0; n < 20; ++n) {
    for (int g = 0; g < 2; ++g) weights.set_group(n, g, 0.7F, n % 16);
    for (int k = 0; k < 64; ++k) weights.set_q(n, k, n % 16);
  }
  std::vector<float> x = random_values(64, 3);
  for (float& v : x) v = rounded_to(GetParam().x_type, v);
  std::vector<float> out(20, -1.0F);
  run(GetParam(), {.tokens = 1, .weights = weights.view(), .out = out.data()}, x);
  EXPECT_EQ(out, std::vector<float>(20, 0.0F));
}

TEST_P(FusedDequantLinearTest, ActivationsAreAccurateFromTinyToExtreme) {
  // A weight that passes its first input through, and a second one that is constant 1 by its bias.
  Int4Weights pass(1, 32, {.group = 32});
  pass.set_group(0, 0, 1.0F);
  pass.set_q(0, 0, 9);
  const Int4Weights none(1, 32, {.group = 32});
  const float one = 1.0F;
  for (const double y : {-1e30, -1e4, -87.5, -80.0, -20.0, -3.0, -1.0, -1e-3, 0.0, 1e-6, 0.3, 2.0,
                         15.0, 88.0, 89.0, 1e4, 1e15}) {
    std::vector<float> x(32, 0.0F);
    x[0] = rounded_to(GetParam().x_type, static_cast<float>(y));
    if (std::isinf(x[0])) continue;
    float out = 0.0F;
    FusedDequantLinearArgs args{.tokens = 1,
                                .weights = pass.view(),
                                .bias = nullptr,
                                .epilogue = Epilogue::kSiluMul,
                                .up = none.view(),
                                .up_bias = &one,
                                .out = &out};
    if (GetParam().backend.gates) {
      run(GetParam(), args, x);
      EXPECT_NEAR(out, silu(x[0]), 1e-6 * std::abs(silu(x[0])) + 1e-35) << y;
    }
    args.epilogue = Epilogue::kGelu;
    args.up = {};
    args.up_bias = nullptr;
    run(GetParam(), args, x);
    EXPECT_NEAR(out, gelu(x[0]), 1e-6 * std::abs(x[0]) * (x[0] > -20.0F)) << y;
  }
}

TEST(FusedDequantLinear, RefusesShapesThatDisagree) {
  const Problem p{.tokens = 1, .outputs = 16, .inputs = 64, .format{.group = 32}};
  const Data data(p, FloatType::kF32);
  const Int4Weights narrow(8, 64, {.group = 32});
  std::vector<float> out(16);
  const FusedDequantLinearArgs good{
      .x = data.x.data(), .tokens = 1, .weights = data.weights.view(), .out = out.data()};
  const auto refuses = [&](auto&& spoil) {
    FusedDequantLinearArgs bad = good;
    spoil(bad);
    EXPECT_THROW(fused_dequant_linear(Backend::kCpu, bad, Stream{nullptr}), PreconditionError);
  };
  refuses([](auto& a) { a.weights = {}; });
  refuses([](auto& a) { a.weights.group = 48; });
  refuses([](auto& a) { a.weights.inputs = 80; });
  refuses([](auto& a) { a.tokens = -1; });
  refuses([](auto& a) { a.x = nullptr; });
  refuses([](auto& a) { a.out = nullptr; });
  refuses([](auto& a) { a.epilogue = Epilogue::kSiluMul; });
  refuses([&](auto& a) { a.up = narrow.view(); });
  refuses([&](auto& a) {
    a.epilogue = Epilogue::kSiluMul;
    a.up = narrow.view();
  });
}

}  // namespace
}  // namespace thermoe
