// SPDX-License-Identifier: Apache-2.0
#include "moe/rotary_table.h"

#include <cmath>
#include <cstddef>

#include "core/errors.h"

namespace thermoe {

RotaryTable::RotaryTable(int context, int head_dim, double base) : half_(head_dim / 2) {
  THERMOE_EXPECT(head_dim >= 2 && head_dim % 2 == 0, "head_dim={} must be even", head_dim);
  for (int p = 0; p < context; ++p) {
    for (int i = 0; i < half_; ++i) {
      // The angle is rounded as in training (moe/language_model.cpp), where it is an f32 product.
      const auto frequency = static_cast<float>(std::pow(base, -static_cast<double>(i) / half_));
      const float angle = static_cast<float>(p) * frequency;
      cosine_.push_back(std::cos(angle));
      sine_.push_back(std::sin(angle));
    }
  }
}

void RotaryTable::rotate(float* x, int position) const {
  const float* cosine = cosine_.data() + static_cast<std::size_t>(position) * half_;
  const float* sine = sine_.data() + static_cast<std::size_t>(position) * half_;
  for (int i = 0; i < half_; ++i) {
    const float a = x[i];
    const float b = x[i + half_];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half_] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace thermoe
