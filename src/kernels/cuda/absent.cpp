// SPDX-License-Identifier: Apache-2.0
// What stands for the CUDA backends in a program that was built without them.
#include "kernels/cuda/backends.h"
#include "kernels/device_description.h"
#include "kernels/device_event.h"
#include "kernels/device_graph.h"
#include "kernels/device_memory.h"
#include "kernels/device_stream.h"
#include "kernels/hold_stream.h"
#include "kernels/pinned_memory.h"
#include "kernels/random_device_data.h"

namespace thermoe {
namespace {

constexpr const char* kAbsent =
    "this program was built without the CUDA kernels; build with the preset cuda-release, which "
    "needs the CUDA toolkit (`thermoe doctor` says what is missing)";

}  // namespace

std::optional<std::string> device_problem() { return kAbsent; }

DeviceMemory::DeviceMemory(std::size_t bytes) {
  if (bytes > 0) throw UsageError(kAbsent);
}
DeviceMemory::~DeviceMemory() = default;
DeviceMemory::DeviceMemory(DeviceMemory&&) noexcept = default;
DeviceMemory& DeviceMemory::operator=(DeviceMemory&&) noexcept = default;

void copy_to_device(void*, std::span<const std::byte>, Stream) { throw UsageError(kAbsent); }
void copy_to_host(std::span<std::byte>, const void*, Stream) { throw UsageError(kAbsent); }
void copy_on_device(void*, const void*, std::size_t, Stream) { throw UsageError(kAbsent); }
void synchronise(Stream) { throw UsageError(kAbsent); }

void use_device(int) { throw UsageError(kAbsent); }
DeviceDescription describe_device() { throw UsageError(kAbsent); }

DeviceStream::DeviceStream() { throw UsageError(kAbsent); }
void DeviceStream::Destroy::operator()(void*) const {}
void hold_stream(Seconds, Stream) { throw UsageError(kAbsent); }

DeviceEvent::DeviceEvent() { throw UsageError(kAbsent); }
void DeviceEvent::Destroy::operator()(void*) const {}
void DeviceEvent::record(Stream) { throw UsageError(kAbsent); }
bool DeviceEvent::passed() const { throw UsageError(kAbsent); }
void DeviceEvent::wait() const { throw UsageError(kAbsent); }
Seconds DeviceEvent::since(const DeviceEvent&) const { throw UsageError(kAbsent); }

DeviceGraph::DeviceGraph(Stream, const std::function<void(Stream)>&) { throw UsageError(kAbsent); }
void DeviceGraph::Destroy::operator()(void*) const {}
void DeviceGraph::launch(Stream) const { throw UsageError(kAbsent); }

PinnedMemory::PinnedMemory(std::size_t bytes) : size_(bytes) { throw UsageError(kAbsent); }
void PinnedMemory::Free::operator()(std::byte*) const {}

DeviceMemory normal_f32(std::size_t, unsigned, float) { throw UsageError(kAbsent); }
DeviceMemory normal_bf16(std::size_t, unsigned, float) { throw UsageError(kAbsent); }
DeviceMemory normal_f16(std::size_t, unsigned, float) { throw UsageError(kAbsent); }
DeviceMemory random_words(std::size_t, unsigned) { throw UsageError(kAbsent); }
DeviceMemory random_nibbles(std::size_t, unsigned) { throw UsageError(kAbsent); }

namespace cuda {

std::size_t grouped_experts_workspace(const ExpertLayerShape&, int, int) {
  throw UsageError(kAbsent);
}
void grouped_experts(const GroupedExpertsArgs&, Stream) { throw UsageError(kAbsent); }
std::size_t order_by_expert_workspace(int, int, int) { throw UsageError(kAbsent); }
void order_by_expert(const OrderByExpertArgs&, Stream) { throw UsageError(kAbsent); }
void permute(const PermuteArgs&, Stream) { throw UsageError(kAbsent); }
void combine(const CombineArgs&, Stream) { throw UsageError(kAbsent); }
void combine_backward(const CombineBackwardArgs&, Stream) { throw UsageError(kAbsent); }
void fused_dequant_linear(const FusedDequantLinearArgs&, Stream) { throw UsageError(kAbsent); }
void expert_activation(const ExpertActivationArgs&, Stream) { throw UsageError(kAbsent); }
void dequant_unpack(const DequantUnpackArgs&, Stream) { throw UsageError(kAbsent); }

std::size_t topk_route_workspace(const RouterView&, int, int) { throw UsageError(kAbsent); }
void topk_route(const TopkRouteArgs&, Stream) { throw UsageError(kAbsent); }

}  // namespace cuda
}  // namespace thermoe
