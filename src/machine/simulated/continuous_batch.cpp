// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/continuous_batch.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

ContinuousBatch::ContinuousBatch(int batch_limit, int prompt_tokens_per_step)
    : batch_limit_(batch_limit), prompt_tokens_per_step_(prompt_tokens_per_step) {
  THERMOE_EXPECT(batch_limit >= 1 && prompt_tokens_per_step >= 1,
                 "batch limit {} and prompt tokens a step {} must be at least 1", batch_limit,
                 prompt_tokens_per_step);
}

void ContinuousBatch::arrive(const Request& request, ServingTick& tick) {
  waiting_.push_back(request);
  ++tick.arrived;
}

bool ContinuousBatch::reads_prompts() const {
  if (!waiting_.empty() && running() < batch_limit_) return true;
  return std::ranges::any_of(running_, [](const Sequence& s) { return s.prompt_left > 0; });
}

BatchStep ContinuousBatch::begin() {
  while (!waiting_.empty() && running() < batch_limit_) {
    const Request request = waiting_.front();
    waiting_.pop_front();
    running_.push_back({.request = request, .prompt_left = request.tokens_in});
  }
  BatchStep step{.sequences = running()};
  for (Sequence& s : running_) {
    if (s.prompt_left == 0) {
      ++step.decoding;
      continue;
    }
    s.reading = std::min(s.prompt_left, prompt_tokens_per_step_ - step.prompt_tokens);
    step.prompt_tokens += s.reading;
  }
  return step;
}

void ContinuousBatch::end(Seconds now, ServingTick& tick) {
  int decoded = 0;
  for (Sequence& s : running_) {
    if (s.prompt_left > 0) {
      s.prompt_left -= s.reading;
      s.reading = 0;
      if (s.prompt_left > 0) continue;
      s.first = now;
      tick.to_first_token.push_back(now - s.request.at);
    } else {
      ++decoded;
    }
    ++s.tokens;
    tick.tokens += 1.0;
  }
  if (decoded > 0) {
    tick.between_tokens.push_back({.gap = now - last_end_, .tokens = static_cast<double>(decoded)});
  }
  last_end_ = now;
  std::erase_if(running_, [&](const Sequence& s) {
    if (s.tokens < s.request.tokens_out) return false;
    const int gaps = s.tokens - 1;
    tick.requests.push_back({.to_first_token = s.first - s.request.at,
                             .between_tokens = gaps > 0 ? (now - s.first) / gaps : Seconds(0),
                             .tokens = s.tokens});
    ++tick.finished;
    return true;
  });
}

}  // namespace thermoe
