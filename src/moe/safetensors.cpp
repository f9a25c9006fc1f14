// SPDX-License-Identifier: Apache-2.0
#include "moe/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/errors.h"
#include "core/half_float.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little endian");

constexpr std::size_t kPrefix = 8;
constexpr std::uint64_t kMaxHeader = std::uint64_t{16} << 20;
constexpr std::size_t kMaxDimensions = 8;
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kRemedy = "is it a whole safetensors file? Fetch or write it again";

std::vector<std::byte> read_bytes(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw FormatError(path, "",
                      error ? fmt::format("cannot be read: {}", error.message())
                            : "is not a regular file; name a safetensors file");
  }
  const auto size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) throw FormatError(path, "", "cannot be opened; check its permissions");
  std::vector<std::byte> bytes(size);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (file.gcount() != static_cast<std::streamsize>(size)) {
    throw FormatError(path, "",
                      fmt::format("only {} of {} bytes could be read", file.gcount(), size));
  }
  return bytes;
}

/// The header's text, checked against the file's size.
std::string_view header_text(const std::vector<std::byte>& bytes, const std::string& path) {
  if (bytes.size() < kPrefix) {
    throw FormatError(path, "",
                      fmt::format("has {} bytes, fewer than the 8 of the header length; {}",
                                  bytes.size(), kRemedy));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kPrefix);
  if (length > kMaxHeader) {
    throw FormatError(path, "",
                      fmt::format("claims a header of {} bytes, the limit is {}; {}", length,
                                  kMaxHeader, kRemedy));
  }
  if (length > bytes.size() - kPrefix) {
    throw FormatError(path, "",
                      fmt::format("claims a header of {} bytes but has {} after the length; {}",
                                  length, bytes.size() - kPrefix, kRemedy));
  }
  return {reinterpret_cast<const char*>(bytes.data()) + kPrefix, static_cast<std::size_t>(length)};
}

/// Checks one header entry at a time; errors name the tensor.
class EntryReader {
 public:
  EntryReader(const std::string& path, const std::string& name, const nlohmann::json& entry)
      : path_(path), name_(name), entry_(entry) {
    if (!entry.is_object()) fail(fmt::format("must be an object, is {}", entry.type_name()));
    for (const auto& [key, value] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        fail(fmt::format("unknown field \"{}\" (dtype, shape and data_offsets are known)", key));
      }
    }
  }

  TensorView read(std::span<const std::byte> data) const {
    const auto& dtype = need("dtype");
    if (!dtype.is_string()) fail("dtype must be a string");
    TensorView view{.name = name_, .dtype = dtype.get<std::string>(), .shape = shape()};
    const auto [begin, end] = offsets();
    if (begin > end || end > data.size()) {
      fail(fmt::format("data_offsets [{}, {}] lie outside the {} bytes of data; {}", begin, end,
                       data.size(), kRemedy));
    }
    // A dtype that nobody here knows is nobody's business until its tensor is read.
    const auto width = safetensors_element_size(view.dtype);
    const std::uint64_t size = byte_size(view.shape, width.value_or(1));
    if (width && end - begin != size) {
      fail(fmt::format("data_offsets [{}, {}] span {} bytes, {} of shape [{}] needs {}", begin, end,
                       end - begin, view.dtype, fmt::join(view.shape, ", "), size));
    }
    view.data = data.subspan(begin, end - begin);
    return view;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw FormatError(path_, name_, problem);
  }

  const nlohmann::json& need(const char* key) const {
    const auto found = entry_.find(key);
    if (found == entry_.end()) fail(fmt::format("has no {}", key));
    return *found;
  }

  std::vector<std::int64_t> shape() const {
    const auto& value = need("shape");
    if (!value.is_array()) fail("shape must be an array");
    if (value.size() > kMaxDimensions) {
      fail(fmt::format("shape has {} dimensions, at most {} are supported", value.size(),
                       kMaxDimensions));
    }
    std::vector<std::int64_t> shape;
    for (const auto& extent : value) {
      constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > kMax) {
        fail("shape must hold whole numbers >= 0");
      }
      shape.push_back(extent.get<std::int64_t>());
    }
    return shape;
  }

  std::uint64_t byte_size(const std::vector<std::int64_t>& shape, std::uint64_t width) const {
    std::uint64_t size = width;
    for (const std::int64_t extent : shape) {
      if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(extent), &size)) {
        fail(fmt::format("shape [{}] overflows the address space", fmt::join(shape, ", ")));
      }
    }
    return size;
  }

  std::pair<std::uint64_t, std::uint64_t> offsets() const {
    const auto& value = need("data_offsets");
    if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
        !value[1].is_number_unsigned()) {
      fail("data_offsets must be two whole numbers >= 0");
    }
    return {value[0].get<std::uint64_t>(), value[1].get<std::uint64_t>()};
  }

  const std::string& path_;
  const std::string& name_;
  const nlohmann::json& entry_;
};

std::map<std::string, std::string> read_metadata(const nlohmann::json& value,
                                                 const std::string& path) {
  if (!value.is_object()) throw FormatError(path, kMetadata, "must be an object of strings");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      throw FormatError(path, fmt::format("{}/{}", kMetadata, key), "must be a string");
    }
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

/// The format allows neither overlap nor holes: hidden bytes are how polyglot files are made.
void check_coverage(const std::vector<TensorView>& tensors, std::span<const std::byte> data,
                    const std::string& path) {
  const std::byte* next = data.data();
  for (const TensorView& t : tensors) {
    if (t.data.data() != next) {
      throw FormatError(path, t.name,
                        fmt::format("data begins at {} where the tensor before ends at {}; "
                                    "tensors must neither overlap nor leave holes",
                                    t.data.data() - data.data(), next - data.data()));
    }
    next += t.data.size();
  }
  if (next != data.data() + data.size()) {
    throw FormatError(path, "",
                      fmt::format("{} bytes follow the last tensor's data; {}",
                                  data.data() + data.size() - next, kRemedy));
  }
}

/// Beyond the range of float: infinite, as IEEE 754 rounds (a plain cast may do anything).
float nearest_float(double value) {
  constexpr double kMost = std::numeric_limits<float>::max();
  if (std::abs(value) > kMost) {
    return value > 0.0 ? std::numeric_limits<float>::infinity()
                       : -std::numeric_limits<float>::infinity();
  }
  return static_cast<float>(value);
}

/// The tensor's elements, stored as Stored, each through `to_float`.
template <class Stored, class ToFloat>
std::vector<float> converted(const TensorView& view, const ToFloat& to_float) {
  std::vector<float> numbers(static_cast<std::size_t>(view.elements()));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, view.data.data() + i * sizeof stored, sizeof stored);
    numbers[i] = to_float(stored);
  }
  return numbers;
}

}  // namespace

std::optional<std::uint64_t> safetensors_element_size(const std::string& dtype) {
  static const std::map<std::string, std::uint64_t> kSizes = {
      {"F64", 8},     {"I64", 8},     {"U64", 8}, {"C64", 8}, {"F32", 4}, {"I32", 4},
      {"U32", 4},     {"BF16", 2},    {"F16", 2}, {"I16", 2}, {"U16", 2}, {"F8_E4M3", 1},
      {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"I8", 1},  {"U8", 1},  {"BOOL", 1}};
  const auto found = kSizes.find(dtype);
  return found == kSizes.end() ? std::nullopt : std::optional(found->second);
}

std::int64_t TensorView::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  return parse(read_bytes(path), path);
}

SafetensorsFile SafetensorsFile::parse(std::vector<std::byte> bytes, const std::string& path) {
  SafetensorsFile file;
  file.path_ = path;
  file.bytes_ = std::move(bytes);
  const std::string_view text = header_text(file.bytes_, path);
  const auto data = std::span<const std::byte>(file.bytes_).subspan(kPrefix + text.size());
  const nlohmann::json header = parse_json(text, path);
  if (!header.is_object()) throw FormatError(path, "", "the header must be a JSON object");
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      file.metadata_ = read_metadata(entry, path);
    } else {
      file.tensors_.push_back(EntryReader(path, name, entry).read(data));
    }
  }
  std::sort(
      file.tensors_.begin(), file.tensors_.end(), [](const TensorView& a, const TensorView& b) {
        // An empty tensor shares its offset with the one that follows: it comes first.
        return std::pair(a.data.data(), a.data.size()) < std::pair(b.data.data(), b.data.size());
      });
  check_coverage(file.tensors_, data, path);
  for (std::size_t i = 0; i < file.tensors_.size(); ++i) file.index_[file.tensors_[i].name] = i;
  return file;
}

bool SafetensorsFile::has(const std::string& name) const { return index_.contains(name); }

const TensorView& SafetensorsFile::tensor(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) throw FormatError(path_, name, "the file has no such tensor");
  return tensors_[found->second];
}

const std::string& SafetensorsFile::metadata(const std::string& name) const {
  const auto found = metadata_.find(name);
  if (found == metadata_.end()) {
    throw FormatError(path_, fmt::format("{}/{}", kMetadata, name), "the file's metadata lacks it");
  }
  return found->second;
}

std::vector<float> SafetensorsFile::values(const std::string& name,
                                           const std::vector<std::int64_t>& shape) const {
  const TensorView& view = tensor(name);
  if (view.shape != shape) {
    throw FormatError(path_, name,
                      fmt::format("has shape [{}], expected [{}]", fmt::join(view.shape, ", "),
                                  fmt::join(shape, ", ")));
  }
  if (view.dtype == "F32") return converted<float>(view, [](float v) { return v; });
  if (view.dtype == "BF16") return converted<std::uint16_t>(view, bf16_to_float);
  if (view.dtype == "F16") return converted<std::uint16_t>(view, f16_to_float);
  if (view.dtype == "F64") return converted<double>(view, nearest_float);
  throw FormatError(path_, name, fmt::format("is {}, expected F32, BF16, F16 or F64", view.dtype));
}

std::vector<float> SafetensorsFile::floats(const std::string& name,
                                           const std::vector<std::int64_t>& shape) const {
  std::vector<float> numbers = values(name, shape);
  const auto bad =
      std::find_if(numbers.begin(), numbers.end(), [](float v) { return !std::isfinite(v); });
  if (bad != numbers.end()) {
    throw FormatError(
        path_, name,
        fmt::format("element {} is {}, weights must be finite", bad - numbers.begin(), *bad));
  }
  return numbers;
}

}  // namespace thermoe
