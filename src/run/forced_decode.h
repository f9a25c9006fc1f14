// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "run/step_decoder.h"
#include "run/text_streams.h"

namespace thermoe {

/// Teacher-forced decoding: whatever the model predicts, the text's own bytes are fed.
class ForcedDecode {
 public:
  /// Both must outlive this. Every stream restarts with the first step.
  ForcedDecode(StepDecoder& decoder, const DocumentText& text, const TextStreamOptions& options)
      : decoder_(decoder), streams_(text, options) {}

  struct Result {
    DecodeStep step;
    std::span<const std::uint8_t> targets;  ///< [streams], the bytes that really follow
    std::span<const int> restarts;          ///< streams that began a piece of text
  };
  /// Decodes the next byte of every stream. The result is valid until the next call.
  Result next(const RoutingPlan& plan) {
    const StreamStep& bytes = streams_.next();
    for (const int stream : bytes.restarts) decoder_.reset(stream);
    return {.step = decoder_.step(bytes.inputs, plan),
            .targets = bytes.targets,
            .restarts = bytes.restarts};
  }

 private:
  StepDecoder& decoder_;
  TextStreams streams_;
};

}  // namespace thermoe
