// SPDX-License-Identifier: Apache-2.0
#include "engine/bound_plan.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/errors.h"
#include "engine/engine_errors.h"

namespace thermoe {
namespace {

/// The id of the process that writes there; 0: nobody.
using Owner = std::int64_t;
constexpr std::size_t kOwnerAt = sizeof(PlanHeader) - sizeof(Owner);
static_assert(offsetof(PlanHeader, reserved) <= kOwnerAt);

Owner owner_of(const void* buffer) {
  Owner owner = 0;
  std::memcpy(&owner, static_cast<const std::byte*>(buffer) + kOwnerAt, sizeof owner);
  return owner;
}

void set_owner(void* buffer, Owner owner) {
  std::memcpy(static_cast<std::byte*>(buffer) + kOwnerAt, &owner, sizeof owner);
}

}  // namespace

BoundPlan::BoundPlan(void* buffer, std::size_t bytes, const RoutingPlan& shape) : buffer_(buffer) {
  if (bytes != shape.bytes().size()) {
    throw UsageError(fmt::format(
        "the buffer has {} bytes, but a plan of {} layers of {} experts has {}; give it those of "
        "thermoe_plan_bytes",
        bytes, shape.layers(), shape.experts(), shape.bytes().size()));
  }
  PlanHeader there;
  std::memcpy(&there, buffer, sizeof there);
  if (there.magic != PlanHeader::kMagic) {
    const auto* raw = reinterpret_cast<const unsigned char*>(&there);
    if (std::any_of(raw, raw + sizeof there, [](unsigned char b) { return b != 0; })) {
      throw UsageError("the buffer holds neither zeros nor a plan; zero it before it is bound");
    }
  } else if (there.layers != shape.header().layers || there.experts != shape.header().experts) {
    throw UsageError(fmt::format(
        "the buffer holds a plan of {} layers of {} experts, the model has {} of {}; bind a buffer "
        "of its own",
        there.layers, there.experts, shape.layers(), shape.experts()));
  }
  if (const Owner owner = owner_of(buffer); owner != 0) {
    throw BufferInUse(fmt::format(
        "a controller of process {} writes its plans into this buffer; close that one first, or "
        "bind a buffer of its own (if that process died, zero the buffer)",
        owner));
  }
  set_owner(buffer, ::getpid());
}

BoundPlan::~BoundPlan() {
  if (buffer_ != nullptr) set_owner(buffer_, 0);
}

BoundPlan::BoundPlan(BoundPlan&& other) noexcept
    : buffer_(std::exchange(other.buffer_, nullptr)), copied_(other.copied_) {}

BoundPlan& BoundPlan::operator=(BoundPlan&& other) noexcept {
  std::swap(buffer_, other.buffer_);
  std::swap(copied_, other.copied_);
  return *this;
}

void BoundPlan::update(const RoutingPlan& plan) {
  if (buffer_ == nullptr) return;
  PlanHeader there;
  std::memcpy(&there, buffer_, sizeof there);
  const std::uint64_t version = plan.header().version;
  if (copied_ == version && there.magic == PlanHeader::kMagic && there.version == version) return;
  std::memcpy(buffer_, plan.bytes().data(), plan.bytes().size());
  copied_ = version;
  set_owner(buffer_, ::getpid());
}

}  // namespace thermoe
