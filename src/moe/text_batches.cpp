// SPDX-License-Identifier: Apache-2.0
#include "moe/text_batches.h"

#include <ATen/CPUGeneratorImpl.h>

#include <fstream>

#include "core/errors.h"

namespace thermoe {

TextBatches::TextBatches(const std::string& path, std::int64_t length, at::Device device)
    : length_(length) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) throw FormatError(path, "", "cannot be opened; build the corpus with tools/corpus");
  const auto size = static_cast<std::int64_t>(in.tellg());
  if (size < length + 2) {
    throw FormatError(path, "", fmt::format("has {} bytes, a window needs {}", size, length + 2));
  }
  at::Tensor bytes = at::empty({size}, at::kByte);
  in.seekg(0);
  in.read(reinterpret_cast<char*>(bytes.data_ptr<std::uint8_t>()), size);
  if (in.gcount() != size) throw FormatError(path, "", "changed while it was read");
  bytes_ = bytes.to(device);
}

at::Tensor TextBatches::windows_at(const at::Tensor& starts) const {
  const at::Tensor offsets = at::arange(length_ + 1, at::kLong).unsqueeze(0);
  const at::Tensor index = (starts.unsqueeze(1) + offsets).to(bytes_.device());
  return bytes_.index_select(0, index.view(-1)).view_as(index).to(at::kLong);
}

at::Tensor TextBatches::draw(std::int64_t sequences, std::uint64_t seed, std::int64_t step) const {
  // One generator a step: a resumed run needs no generator state.
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed * 0x9E37'79B9'7F4A'7C15ULL +
                                                            static_cast<std::uint64_t>(step));
  return windows_at(at::randint(0, size() - length_, {sequences}, generator, at::kLong));
}

at::Tensor TextBatches::spread(std::int64_t sequences) const {
  const double stride = static_cast<double>(size() - length_ - 1) / static_cast<double>(sequences);
  return windows_at((at::arange(sequences, at::kDouble) * stride).to(at::kLong));
}

}  // namespace thermoe
