// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_plan.h"

#include <array>
#include <cstring>

#include "kernels/cuda/check.h"

namespace thermoe {

/// Plans wait for their copy in pinned memory, which the device reads by itself: from pageable
/// memory a copy would wait for the stream. A place is free again once its event has come to pass.
struct DevicePlan::Impl {
  static constexpr std::size_t kPlaces = 4;

  Impl(int layers, int experts) : shape(layers, experts, 1), block(shape.bytes().size()) {
    void* pinned = nullptr;
    cuda::check(cudaMallocHost(&pinned, kPlaces * block.size()), "cudaMallocHost");
    staging = static_cast<std::byte*>(pinned);
    for (cudaEvent_t& event : copied) {
      cuda::check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
    }
    copy_to_device(block.data(), shape.bytes(), Stream{nullptr});
    synchronise(Stream{nullptr});
  }
  ~Impl() {
    for (cudaEvent_t event : copied) cudaEventDestroy(event);
    cudaFreeHost(staging);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  RoutingPlan shape;
  DeviceMemory block;
  std::byte* staging = nullptr;
  std::array<cudaEvent_t, kPlaces> copied{};
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
  const cudaError_t waiting = cudaEventQuery(p.copied[p.next]);
  if (waiting == cudaErrorNotReady) return false;
  cuda::check(waiting, "cudaEventQuery");
  std::byte* place = p.staging + p.next * p.block.size();
  std::memcpy(place, plan.bytes().data(), p.block.size());
  cuda::check(cudaMemcpyAsync(p.block.data(), place, p.block.size(), cudaMemcpyHostToDevice,
                              cuda::native(stream)),
              "cudaMemcpyAsync of a plan");
  cuda::check(cudaEventRecord(p.copied[p.next], cuda::native(stream)), "cudaEventRecord");
  p.next = (p.next + 1) % Impl::kPlaces;
  return true;
}

PlanLayerView DevicePlan::view(int layer) const {
  return impl_->shape.view_at(impl_->block.data(), layer);
}

}  // namespace thermoe
