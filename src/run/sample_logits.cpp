// SPDX-License-Identifier: Apache-2.0
#include "run/sample_logits.h"

#include "run/forced_decode.h"

namespace thermoe {

std::vector<LogitSample> sample_logits(StepDecoder& decoder, const DocumentText& text,
                                       const TextStreamOptions& streams,
                                       const LogitSampling& sampling, Progress& progress,
                                       const std::atomic<bool>& stop) {
  ForcedDecode decode(decoder, text, streams);
  std::vector<LogitSample> samples;
  const int steps = sampling.warmup_steps + sampling.spacing * sampling.samples;
  for (int i = 0; i < steps && !stop.load(); ++i) {
    const auto result = decode.next(decoder.baseline());
    if (i < sampling.warmup_steps || (i - sampling.warmup_steps) % sampling.spacing != 0) continue;
    samples.push_back(result.step.sample);
    progress.update("calibration text", Seconds(i + 1), Seconds(steps), "");
  }
  return samples;
}

}  // namespace thermoe
