// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace thermoe {

/// One tensor of a file. `data` is row-major, little endian, and belongs to the file.
struct TensorView {
  std::string name{};
  std::string dtype{};  ///< as the file has it: F32, BF16, I64, ...
  std::vector<std::int64_t> shape{};
  std::span<const std::byte> data{};

  std::int64_t elements() const;
};

/// Bytes of one element; absent for a dtype whose width is not known.
std::optional<std::uint64_t> safetensors_element_size(const std::string& dtype);

/// A safetensors file held in memory: 8 bytes of header length (little endian), a JSON header that
/// gives each tensor's dtype, shape and data_offsets, then the data.
class SafetensorsFile {
 public:
  /// Reads and validates the whole layout before anything is handed out: a file that is truncated,
  /// padded, nested, overlapping, or whose sizes disagree throws FormatError naming file and
  /// tensor. Tensors of dtypes that are not known here may stand beside those that are read.
  static SafetensorsFile open(const std::string& path);
  /// The same for a file's content; `path` is for messages.
  static SafetensorsFile parse(std::vector<std::byte> bytes, const std::string& path);

  /// Views point into the file's own storage, which moves but does not copy.
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  /// Throws FormatError when there is no such tensor.
  const TensorView& tensor(const std::string& name) const;
  bool has(const std::string& name) const;
  /// All tensors, by offset.
  const std::vector<TensorView>& tensors() const { return tensors_; }

  /// The tensor's values as floats (F32 copied, BF16 and F16 widened, F64 rounded), NaN and
  /// infinities among them. Throws FormatError when it is missing, of another dtype or shape.
  std::vector<float> values(const std::string& name, const std::vector<std::int64_t>& shape) const;
  /// The same where each must be finite, as weights are: FormatError else.
  std::vector<float> floats(const std::string& name, const std::vector<std::int64_t>& shape) const;

  /// The header's "__metadata__": strings by name.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Throws FormatError when there is no such entry.
  const std::string& metadata(const std::string& name) const;
  const std::string& path() const { return path_; }

 private:
  SafetensorsFile() = default;

  std::string path_{};
  std::vector<std::byte> bytes_{};
  std::vector<TensorView> tensors_{};
  std::map<std::string, std::size_t> index_{};
  std::map<std::string, std::string> metadata_{};
};

/// Writes a file that `SafetensorsFile::open` accepts, atomically (core/atomic_file.h). Tensors are
/// laid out by falling element size, so that each is aligned to its own type. Requires distinct
/// names, known dtypes and data sizes that match; throws WriteError.
void write_safetensors(const std::string& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace thermoe
