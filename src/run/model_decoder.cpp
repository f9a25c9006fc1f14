// SPDX-License-Identifier: Apache-2.0
#include "run/model_decoder.h"

namespace thermoe {

ModelDecoder::ModelDecoder(std::unique_ptr<Decoder> decoder)
    : decoder_(std::move(decoder)),
      baseline_(baseline_plan(decoder_->config(), decoder_->options().experts)) {}

}  // namespace thermoe
