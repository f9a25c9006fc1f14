// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "moe/safetensors.h"

namespace thermoe {

void write_safetensors(const std::string& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorView*> order;
  for (const TensorView& t : tensors) {
    const auto width = safetensors_element_size(t.dtype);
    THERMOE_EXPECT(width, "{}: dtype {} is not supported", t.name, t.dtype);
    THERMOE_EXPECT(t.data.size() == *width * static_cast<std::uint64_t>(t.elements()),
                   "{}: {} bytes of data do not match {} [{}]", t.name, t.data.size(), t.dtype,
                   fmt::join(t.shape, ", "));
    THERMOE_EXPECT(t.name != "__metadata__", "a tensor cannot be called {}", "__metadata__");
    order.push_back(&t);
  }
  std::stable_sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
    return *safetensors_element_size(a->dtype) > *safetensors_element_size(b->dtype);
  });
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t offset = 0;
  for (const TensorView* t : order) {
    THERMOE_EXPECT(!header.contains(t->name), "two tensors are called {}", t->name);
    header[t->name] = {{"dtype", t->dtype},
                       {"shape", t->shape},
                       {"data_offsets", {offset, offset + t->data.size()}}};
    offset += t->data.size();
  }
  std::string text = json_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // spaces align the data
  const std::uint64_t length = text.size();
  std::string content(sizeof length, '\0');
  std::memcpy(content.data(), &length, sizeof length);
  content.reserve(sizeof length + text.size() + offset);
  content += text;
  for (const TensorView* t : order) {
    content.append(reinterpret_cast<const char*>(t->data.data()), t->data.size());
  }
  write_file_atomically(path, content);
}

}  // namespace thermoe
