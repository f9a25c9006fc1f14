// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <optional>

#include "core/errors.h"
#include "run/byte_decoder.h"
#include "run/step_decoder.h"
#include "run/text_streams.h"

namespace thermoe {

/// Teacher-forced decoding: whatever the model predicts, the text's own bytes are fed.
class ForcedDecode final : public StepDecoder {
 public:
  /// `decoder` and `text` must outlive this. Several may share a decoder, if they take turns and
  /// each rewinds at the start of its own.
  ForcedDecode(ByteDecoder& decoder, const DocumentText& text, const TextStreamOptions& options)
      : decoder_(decoder), text_(text), options_(options), streams_(std::in_place, text, options) {}

  const RoutingPlan& baseline() const override { return decoder_.baseline(); }
  const RouterSpec& router() const override { return decoder_.router(); }
  /// Every stream restarts with the next step.
  void rewind() override { streams_.emplace(text_, options_); }
  /// Decodes the next byte of every stream, and of no other number of them.
  RoutedStep next(const RoutingPlan& plan, std::optional<int> sequences = {}) override {
    if (sequences && *sequences != options_.streams) {
      throw UsageError(fmt::format(
          "a step of {} sequences: text is decoded in {} streams; take a recorded router (trace)",
          *sequences, options_.streams));
    }
    const StreamStep& bytes = streams_->next();
    for (const int stream : bytes.restarts) decoder_.reset(stream);
    const DecodeStep step = decoder_.step(bytes.inputs, plan);
    return {.stats = step.stats,
            .sample = step.sample,
            .prediction = Prediction{
                .logits = step.logits, .targets = bytes.targets, .restarts = bytes.restarts}};
  }

 private:
  ByteDecoder& decoder_;
  const DocumentText& text_;
  TextStreamOptions options_;
  std::optional<TextStreams> streams_;
};

}  // namespace thermoe
