// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/device_tenant_work.h"

#include <gtest/gtest.h>

#include <memory>

#include "bounded_wait.h"
#include "core/errors.h"
#include "kernels/device_description.h"
#include "machine/tenant/tenant_load.h"

namespace thermoe {
namespace {

TEST(DeviceTenantWork, UnitsOfEitherKindTakeTheirTimeOnTheDevice) {
  use_device(0);
  DeviceTenantWork work;
  for (const auto kind : {TenantWork::Kind::kProducts, TenantWork::Kind::kCopies}) {
    work.run(kind, 100);
    EXPECT_GT(work.run(kind, 100), 20.0 * work.run(kind, 1) - Seconds(1e-3));
    EXPECT_GT(work.run(kind, 1), Seconds(0));
  }
  EXPECT_THROW(work.run(TenantWork::Kind::kCopies, 0), PreconditionError);
}

TEST(DeviceTenantWork, UnitsAreShortEnoughForBurstsOfAMillisecond) {
  const SteadyClock clock;
  TenantLoad load([] { return std::make_unique<DeviceTenantWork>(); }, clock, {});
  load.set_duty(0.3);
  EXPECT_TRUE(comes_true([&] { return load.tally().bursts >= 100; }));
}

TEST(DeviceTenantWork, ADeviceThatIsNotThereIsNamed) {
  try {
    use_device(1023);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(std::string(error.what()).find("there is no CUDA device 1023"), 0U);
  }
  EXPECT_NO_THROW(use_device(0));
}

}  // namespace
}  // namespace thermoe
