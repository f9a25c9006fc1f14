// SPDX-License-Identifier: Apache-2.0
#include "run/sample_logits.h"

namespace thermoe {

std::vector<LogitSample> sample_logits(StepDecoder& decoder, const LogitSampling& sampling,
                                       Progress& progress, const std::atomic<bool>& stop) {
  std::vector<LogitSample> samples;
  decoder.rewind();
  const int steps = sampling.warmup_steps + sampling.spacing * sampling.samples;
  for (int i = 0; i < steps && !stop.load(); ++i) {
    const RoutedStep step = decoder.next(decoder.baseline());
    if (i < sampling.warmup_steps || (i - sampling.warmup_steps) % sampling.spacing != 0) continue;
    samples.push_back(step.sample);
    progress.update("calibration", Seconds(i + 1), Seconds(steps), "");
  }
  return samples;
}

}  // namespace thermoe
