// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/routing_plan.h"
#include "moe/decoder.h"

namespace thermoe {

/// A model that decodes bytes: the real one (run/model_decoder.h), or a synthetic one in tests.
class ByteDecoder {
 public:
  virtual ~ByteDecoder() = default;
  /// The BASELINE plan: shape, k and expert precisions of the model.
  virtual const RoutingPlan& baseline() const = 0;
  /// How the model routes without a plan.
  virtual const RouterSpec& router() const = 0;
  /// Forgets a stream's context.
  virtual void reset(int stream) = 0;
  /// Feeds one byte to each stream. The result is valid until the next call.
  virtual DecodeStep step(std::span<const std::uint8_t> bytes, const RoutingPlan& plan) = 0;
};

}  // namespace thermoe
