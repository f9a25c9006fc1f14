// SPDX-License-Identifier: Apache-2.0
#include "profile/under/plan_under.h"

#include <gmock/gmock.h>

#include "run_under_fixture.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(RunUnder, TheCommandOfNsysCanBeSeenBeforehand) {
  tools_.nsys(recorded());
  request_.folder = "/o'clock";
  request_.child = {"/bin/thermoe", "profile", "--child"};
  EXPECT_EQ(
      to_shell(plan_under(request_, tools_.places, tell_)),
      fmt::format("{0}/nsys profile --trace=cuda,nvtx --nvtx-domain-include=thermoe "
                  "--cuda-graph-trace=node --sample=none --cpuctxsw=none --force-overwrite=true "
                  "'--output=/o'\\''clock/nsys-1' --gpu-metrics-devices=all "
                  "--gpu-metrics-frequency=100 /bin/thermoe profile --child\n"
                  "{0}/nsys export --type=sqlite --quiet=true --force-overwrite=true "
                  "'--output=/o'\\''clock/nsys-1.sqlite' '/o'\\''clock/nsys-1.nsys-rep'\n",
                  folder_ / "bin"));
  EXPECT_THAT(told_, ElementsAre(HasSubstr("Nsight Systems 2024.5.1.113 (")));
}

TEST_F(RunUnderNcu, TheCommandOfNcuCanBeSeenBeforehand) {
  tools_.ncu("none");
  request_.folder = "o";
  request_.child = {"/bin/thermoe", "profile", "--child"};
  request_.replay = NcuReplay::kApplication;
  const std::string ncu = folder_ / "bin/ncu";
  EXPECT_EQ(to_shell(plan_under(request_, tools_.places, tell_)),
            fmt::format(
                "{0} --nvtx --nvtx-include 'regex:thermoe@.*/' --replay-mode application "
                "--target-processes all --clock-control none --force-overwrite --export o/ncu-1 "
                "/bin/thermoe profile --child\n"
                "env LC_ALL=C {0} --import o/ncu-1.ncu-rep --csv --page raw --print-units base > "
                "o/ncu-1-raw.csv\n"
                "env LC_ALL=C {0} --import o/ncu-1.ncu-rep --csv --page details --print-units base "
                "> o/ncu-1-details.csv\n",
                ncu));
}

TEST_F(RunUnder, CountersAreSampledOnlyWhereNsysMay) {
  const std::string path = tools_.program(
      "nsys",
      "case \"$1 $2\" in --version*) echo version 2022.4 ;; *--help) echo sqlite ;;\n"
      "*devices=help) echo \"unrecognised option '--gpu-metrics-devices=help'\"; exit 1 ;;\n"
      "*) echo 'Possible --gpu-metrics-device values are:'; cat " +
          (folder_ / "answer") + " ;; esac");
  const auto words = [&](const std::string& answer) {
    folder_.write("answer", answer);
    told_.clear();
    return plan_under(request_, tools_.places, tell_).profile.words;
  };
  EXPECT_THAT(words("\t0: H100\n\tall: Select all supported GPUs\n"),
              Contains("--gpu-metrics-device=all"));
  EXPECT_THAT(told_, ElementsAre(HasSubstr("2022.4")));
  for (const std::string why : {"NVIDIA GPUs not found, feature is not available",
                                "Insufficient privilege, see https://developer.nvidia.com/"
                                "ERR_NVGPUCTRPERM."}) {
    EXPECT_THAT(words("\t" + why + "\n"), Not(Contains(HasSubstr("gpu-metrics"))));
    EXPECT_THAT(told_, Contains(HasSubstr("samples no GPU counters: " + why)));
  }
  request_.gpu_metrics = false;
  EXPECT_THAT(words("\tall: Select all supported GPUs\n"), Not(Contains(HasSubstr("gpu-metrics"))));
}

}  // namespace
}  // namespace thermoe
