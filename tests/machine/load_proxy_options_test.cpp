// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/load_proxy_options.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "machine/gpu/load_proxy.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

LoadProxyOptions qwen3() {
  return {.shape = {.name = "Qwen3-30B-A3B",
                    .experts = 128,
                    .top_k = 8,
                    .d_model = 2048,
                    .d_ff = 768,
                    .layers = 48},
          .model_layers = 4,
          .router = {.experts = 128, .k = 8}};
}

void expect_refused(const LoadProxyOptions& options, const std::string& words) {
  EXPECT_THAT([&] { check_options(options); }, ThrowsMessage<UsageError>(HasSubstr(words)));
}

TEST(LoadProxyOptions, SayWhatRunsAndWhoseWeights) {
  LoadProxyOptions options = qwen3();
  EXPECT_EQ(options.description(),
            "48 layers of Qwen3-30B-A3B in bf16, each with weights of its own, 58.0 GB");
  options.distinct = 12;
  options.precisions = {.bf16 = true, .int4 = true};
  EXPECT_EQ(options.description(),
            "48 layers of Qwen3-30B-A3B in bf16 and int4, which share the weights of 12, 18.3 GB");
}

TEST(LoadProxyOptions, LeaveASlotForAFractionOfK) {
  LoadProxyOptions options = qwen3();
  EXPECT_EQ(options.slots(), 9);
  options.router.k = 128;
  EXPECT_EQ(options.slots(), 128);
}

TEST(LoadProxyOptions, OfWhatTheKernelsRunAreAccepted) { EXPECT_NO_THROW(check_options(qwen3())); }

TEST(LoadProxyOptions, OfWhatTheyDoNotAreRefusedWithTheLimit) {
  const auto with = [](auto change) {
    LoadProxyOptions options = qwen3();
    change(options);
    return options;
  };
  expect_refused(with([](auto& o) { o.shape.d_ff = 700; }),
                 "d_model=2048 and d_ff=700 must be multiples of 32");
  expect_refused(with([](auto& o) { o.shape.experts = 2048; }), "experts=2048 is outside 1..1024");
  expect_refused(with([](auto& o) { o.router.experts = 64; }), "charge a shape with as many");
  expect_refused(with([](auto& o) { o.router.k = 0; }), "router.k");
  expect_refused(with([](auto& o) { o.model_layers = 49; }), "they must be 1..48");
  expect_refused(with([](auto& o) { o.distinct = 49; }), "outside 0..layers=48");
  expect_refused(with([](auto& o) { o.tokens = 0; }), "tokens=0 must be 1 or more");
  expect_refused(with([](auto& o) { o.tokens = 1 << 22; }), "more activations than");
  expect_refused(with([](auto& o) { o.precisions = {false, false}; }), "no precision");
}

TEST(LoadProxyOptions, ThatDoNotFitAreRefusedWithBytesAndRemedies) {
  LoadProxyOptions options = qwen3();
  const DeviceDescription device{
      .name = "NVIDIA H100", .memory = 85'000'000'000, .free_memory = 40'000'000'000};
  EXPECT_THAT(
      [&] { check_room(options, device); },
      ThrowsMessage<UsageError>(
          AllOf(HasSubstr("58518929408 bytes of device memory are needed"),
                HasSubstr("NVIDIA H100 has 40000000000 free (40.0 of 85.0 GB)"),
                HasSubstr("32 distinct layers fit"), HasSubstr("int4"), HasSubstr("another GPU"))));
  options.distinct = 32;
  EXPECT_NO_THROW(check_room(options, device));
  options.distinct = 33;
  EXPECT_THROW(check_room(options, device), UsageError);
  options.distinct = 0;
  options.precisions = {.bf16 = false, .int4 = true};
  EXPECT_NO_THROW(check_room(options, device));
  EXPECT_THAT([&] { check_room(options, {.name = "small", .memory = 1, .free_memory = 1}); },
              ThrowsMessage<UsageError>(AllOf(Not(HasSubstr("take int4")), Not(HasSubstr("fit),")),
                                              HasSubstr("; take another GPU"))));
}

TEST(LoadProxy, WithoutADeviceIsRefusedWithTheReason) {
  const auto problem = device_problem();
  if (!problem) GTEST_SKIP() << "there is one";
  EXPECT_THAT([] { LoadProxy{qwen3()}; }, ThrowsMessage<UsageError>(*problem));
}

}  // namespace
}  // namespace thermoe
