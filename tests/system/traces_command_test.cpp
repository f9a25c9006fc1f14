// SPDX-License-Identifier: Apache-2.0
// `thermoe traces` as a user meets it.
#include <gmock/gmock.h>

#include "core/json_file.h"
#include "thermoe_process.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kTrace = THERMOE_SOURCE_DIR "/data/traces/synthetic-e128-k8-b16.safetensors";

TEST(TracesCommand, TheShippedTraceHasTheNumbersThatItsReadmeClaims) {
  const ProcessResult result = thermoe_process({"traces", kTrace, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json json = parse_json(result.out, "stdout");
  EXPECT_EQ(json["experts"], 128);
  EXPECT_EQ(json["k"], 8);
  EXPECT_EQ(json["samples"], 60);
  EXPECT_NEAR(json["active_experts_recorded"].get<double>(), 48.8, 0.05);
  const std::vector<double> olmoe = {0.24, 0.17, 0.14, 0.12, 0.10, 0.09, 0.08, 0.07};
  EXPECT_THAT(json["top_k_shares"].get<std::vector<double>>(),
              testing::Pointwise(testing::DoubleNear(0.01), olmoe));
  const auto& drawn = json["active_experts"];
  ASSERT_EQ(drawn.size(), 7U) << "1, 2, 4, ... 64";
  EXPECT_EQ(drawn[4]["batch"], 16);
  EXPECT_NEAR(drawn[4]["mean"].get<double>(), 48.8, 0.5) << "tokens are independent";
  EXPECT_NEAR(drawn[4]["uniform"].get<double>(), 82.4, 0.05);
  EXPECT_EQ(json["load"].size(), 4U);
}

TEST(TracesCommand, SaysInWordsWhatTheTraceHolds) {
  const ProcessResult result = thermoe_process({"traces", kTrace, "--batch", "16"});
  EXPECT_THAT(result.out, AllOf(HasSubstr("60 samples of 4 layers, 16 tokens, 128 experts; top-8"),
                                HasSubstr("router: softmax, denominator picked"),
                                HasSubstr("assumed, as the file does not say: groups"),
                                HasSubstr("16 tokens each: D = 48.8"), HasSubstr("0.240 0.162")));
}

TEST(TracesCommand, ATraceShorterThanABatchIsRefusedWithWhatItHolds) {
  const ProcessResult result = thermoe_process({"traces", kTrace, "--batch", "1000"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err,
              HasSubstr("b16.safetensors: router_logits: holds 960 tokens, fewer than "
                        "--batch 1000; record more, or ask for a batch of at most 960"));
}

}  // namespace
}  // namespace thermoe
