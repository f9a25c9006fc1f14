// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe {

/// out = x / sqrt(mean(x²) + eps) * weight for each row. x, out [rows, width]; weight [width].
void rms_norm_rows(const float* x, int rows, int width, const float* weight, double eps,
                   float* out);

}  // namespace thermoe
