// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "run/byte_decoder.h"

namespace thermoe {

/// The shipped model, or any checkpoint of its kind.
class ModelDecoder final : public ByteDecoder {
 public:
  explicit ModelDecoder(std::unique_ptr<Decoder> decoder);

  const RoutingPlan& baseline() const override { return baseline_; }
  const RouterSpec& router() const override { return decoder_->router(); }
  void reset(int stream) override { decoder_->reset(stream); }
  DecodeStep step(std::span<const std::uint8_t> bytes, const RoutingPlan& plan) override {
    return decoder_->step(bytes, plan);
  }

 private:
  std::unique_ptr<Decoder> decoder_;
  RoutingPlan baseline_;
};

}  // namespace thermoe
