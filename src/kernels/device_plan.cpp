// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_plan.h"

#include <array>
#include <cstring>

#include "kernels/device_event.h"
#include "kernels/device_memory.h"
#include "kernels/pinned_memory.h"

namespace thermoe {

/// Plans wait for their copy in pinned memory: from pageable memory a copy would wait for the
/// stream. A place is free again once its event has come to pass.
struct DevicePlan::Impl {
  static constexpr std::size_t kPlaces = 4;

  Impl(int layers, int experts)
      : shape(layers, experts, 1),
        block(on_device(shape.bytes())),
        staging(kPlaces * block.size()) {
    synchronise(Stream{nullptr});
  }

  RoutingPlan shape;
  DeviceMemory block;
  PinnedMemory staging;
  std::array<DeviceEvent, kPlaces> copied{};
  std::size_t next = 0;
};

DevicePlan::DevicePlan(int layers, int experts) : impl_(std::make_unique<Impl>(layers, experts)) {}
DevicePlan::~DevicePlan() = default;

bool DevicePlan::update(const RoutingPlan& plan, Stream stream) {
  Impl& p = *impl_;
  THERMOE_EXPECT(plan.layers() == p.shape.layers() && plan.experts() == p.shape.experts(),
                 "plan of {}x{} for a device plan of {}x{}", plan.layers(), plan.experts(),
                 p.shape.layers(), p.shape.experts());
  const auto problem = find_problem(plan);
  THERMOE_EXPECT(!problem, "a plan that cannot run: {}", *problem);
  if (!p.copied[p.next].passed()) return false;
  const auto place = p.staging.bytes().subspan(p.next * p.block.size(), p.block.size());
  std::memcpy(place.data(), plan.bytes().data(), place.size());
  copy_to_device(p.block.data(), place, stream);
  p.copied[p.next].record(stream);
  p.next = (p.next + 1) % Impl::kPlaces;
  return true;
}

PlanLayerView DevicePlan::view(int layer) const {
  return impl_->shape.view_at(impl_->block.data(), layer);
}

const PlanHeader* DevicePlan::header() const { return impl_->block.as<const PlanHeader>(); }

}  // namespace thermoe
