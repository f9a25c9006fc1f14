// SPDX-License-Identifier: Apache-2.0
#include "moe/rms_norm.h"

#include <cmath>

namespace thermoe {

void rms_norm_rows(const float* x, int rows, int width, const float* weight, double eps,
                   float* out) {
  for (int r = 0; r < rows; ++r, x += width, out += width) {
    double squares = 0.0;
    for (int i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * x[i];
    const auto scale = static_cast<float>(1.0 / std::sqrt(squares / width + eps));
    for (int i = 0; i < width; ++i) out[i] = x[i] * scale * weight[i];
  }
}

}  // namespace thermoe
