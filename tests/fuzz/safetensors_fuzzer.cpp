// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <span>
#include <vector>

#include "core/errors.h"
#include "fuzz_input.h"
#include "moe/model_weights.h"
#include "moe/safetensors.h"

namespace thermoe {

/// Any tensor file, then the same as a model.
void parse_input(std::string_view bytes) {
  const auto raw = std::as_bytes(std::span(bytes));
  const auto file = SafetensorsFile::parse({raw.begin(), raw.end()}, "input.safetensors");
  for (const TensorView& tensor : file.tensors()) {
    try {
      file.floats(tensor.name, tensor.shape);
    } catch (const UsageError&) {
      // Of a dtype that is not read, or not finite: the next may be.
    }
  }
  load_model_weights(fuzz_file("input.safetensors", bytes));
}

}  // namespace thermoe
