// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantized_expert.h"

namespace thermoe {

std::size_t QuantizedExpert::byte_size() const {
  return (gate.outputs() > 0 ? gate.byte_size() : 0) + up.byte_size() + down.byte_size();
}

QuantizedExpert quantise_expert(const ExpertMatrices& expert, int d_model, int d_ff,
                                Int4Format format) {
  QuantizedExpert q{.up = quantise_int4(expert.up, d_ff, d_model, format),
                    .down = quantise_int4(expert.down, d_model, d_ff, format)};
  if (expert.gate) q.gate = quantise_int4(expert.gate, d_ff, d_model, format);
  return q;
}

}  // namespace thermoe
