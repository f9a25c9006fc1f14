// SPDX-License-Identifier: Apache-2.0
#include "tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>

#include "core/errors.h"
#include "core/named_values.h"

namespace thermoe::torch_ops {
namespace {

struct KnownType {
  DType dtype;
  const char* name;
  std::int32_t (*abi)();
};
constexpr std::array<KnownType, 5> kTypes{{{DType::kF32, "float32", aoti_torch_dtype_float32},
                                           {DType::kBf16, "bfloat16", aoti_torch_dtype_bfloat16},
                                           {DType::kF16, "float16", aoti_torch_dtype_float16},
                                           {DType::kI32, "int32", aoti_torch_dtype_int32},
                                           {DType::kU8, "uint8", aoti_torch_dtype_uint8}}};

/// "float32 or bfloat16 [*, 128]".
std::string describe(std::initializer_list<DType> dtypes,
                     std::initializer_list<std::int64_t> sizes) {
  std::string text;
  for (const DType dtype : dtypes) {
    text += fmt::format("{}{}", text.empty() ? "" : " or ", to_string(dtype));
  }
  std::vector<std::string> shape;
  for (const std::int64_t size : sizes) {
    shape.push_back(size == Arguments::kAny ? "*" : std::to_string(size));
  }
  return fmt::format("{} [{}]", text, fmt::join(shape, ", "));
}

std::string device_name(std::int32_t type, std::int32_t index) {
  if (type == aoti_torch_device_type_cpu()) return "cpu";
  if (type == aoti_torch_device_type_cuda()) return fmt::format("cuda:{}", index);
  return fmt::format("device type {}", type);
}

}  // namespace

std::string_view to_string(DType dtype) {
  for (const KnownType& type : kTypes) {
    if (type.dtype == dtype) return type.name;
  }
  return "another type";
}

FloatType float_type(DType dtype) {
  THERMOE_EXPECT(dtype == DType::kF32 || dtype == DType::kBf16 || dtype == DType::kF16,
                 "{} is no type of floats that the ops know", to_string(dtype));
  return dtype == DType::kF32    ? FloatType::kF32
         : dtype == DType::kBf16 ? FloatType::kBf16
                                 : FloatType::kF16;
}

std::int32_t abi_dtype(DType dtype) {
  for (const KnownType& type : kTypes) {
    if (type.dtype == dtype) return type.abi();
  }
  throw PreconditionError("no tensor is made of another type");
}

void check(AOTITorchError status, const char* function) {
  if (status != 0) throw std::runtime_error(fmt::format("torch's {} failed", function));
}

Tensor::Tensor(AtenTensorHandle handle) : handle_(handle) {}

AtenTensorHandle Tensor::release() { return handle_.release(); }

std::span<const std::int64_t> Tensor::sizes() const {
  std::int64_t dim = 0;
  std::int64_t* sizes = nullptr;
  check(aoti_torch_get_dim(handle_.get(), &dim), "aoti_torch_get_dim");
  check(aoti_torch_get_sizes(handle_.get(), &sizes), "aoti_torch_get_sizes");
  return {sizes, static_cast<std::size_t>(dim)};
}

std::span<const std::int64_t> Tensor::strides() const {
  std::int64_t* strides = nullptr;
  check(aoti_torch_get_strides(handle_.get(), &strides), "aoti_torch_get_strides");
  return {strides, sizes().size()};
}

DType Tensor::dtype() const {
  std::int32_t dtype = 0;
  check(aoti_torch_get_dtype(handle_.get(), &dtype), "aoti_torch_get_dtype");
  for (const KnownType& type : kTypes) {
    if (type.abi() == dtype) return type.dtype;
  }
  return DType::kOther;
}

std::int32_t Tensor::device_type() const {
  std::int32_t type = 0;
  check(aoti_torch_get_device_type(handle_.get(), &type), "aoti_torch_get_device_type");
  return type;
}
std::int32_t Tensor::device_index() const {
  std::int32_t index = 0;
  check(aoti_torch_get_device_index(handle_.get(), &index), "aoti_torch_get_device_index");
  return index;
}

bool Tensor::contiguous() const {
  bool contiguous = false;
  check(aoti_torch_is_contiguous(handle_.get(), &contiguous), "aoti_torch_is_contiguous");
  return contiguous;
}

const void* Tensor::data() const {
  const void* data = nullptr;
  check(torch_get_const_data_ptr(handle_.get(), &data), "torch_get_const_data_ptr");
  return data;
}
void* Tensor::mutable_data() const {
  void* data = nullptr;
  check(torch_get_mutable_data_ptr(handle_.get(), &data), "torch_get_mutable_data_ptr");
  return data;
}

std::string Tensor::describe() const {
  return fmt::format("{} [{}]", to_string(dtype()), fmt::join(sizes(), ", "));
}

Tensor empty(const Tensor& like, std::vector<std::int64_t> sizes, DType dtype) {
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t i = sizes.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * std::max<std::int64_t>(sizes[i], 1);
  }
  AtenTensorHandle handle = nullptr;
  check(aoti_torch_empty_strided(static_cast<std::int64_t>(sizes.size()), sizes.data(),
                                 strides.data(), abi_dtype(dtype), like.device_type(),
                                 like.device_index(), &handle),
        "aoti_torch_empty_strided");
  return Tensor(handle);
}

Arguments::Arguments(Backend backend, const Tensor& first, const char* name)
    : backend_(backend),
      device_type_(first.device_type()),
      device_index_(first.device_index()),
      first_name_(name) {
  const std::int32_t wanted =
      backend == Backend::kCpu ? aoti_torch_device_type_cpu() : aoti_torch_device_type_cuda();
  THERMOE_EXPECT(device_type_ == wanted, "{} is on {}, which the op of {} was called for", name,
                 device_name(device_type_, device_index_), to_string(backend));
}

void Arguments::expect_shape(const Tensor& tensor, const char* name,
                             std::initializer_list<DType> dtypes,
                             std::initializer_list<std::int64_t> sizes) const {
  const auto type = tensor.device_type();
  const auto index = tensor.device_index();
  THERMOE_EXPECT(type == device_type_ && index == device_index_,
                 "{} is on {}, {} on {}; all tensors of a call are on one device", name,
                 device_name(type, index), first_name_, device_name(device_type_, device_index_));
  const auto is = tensor.sizes();
  const bool same_shape =
      std::ranges::equal(is, sizes, [](auto a, auto b) { return b == kAny || a == b; });
  THERMOE_EXPECT(same_shape && std::ranges::count(dtypes, tensor.dtype()) > 0,
                 "{} is {}; expected {}", name, tensor.describe(), describe(dtypes, sizes));
}

void Arguments::expect(const Tensor& tensor, const char* name, std::initializer_list<DType> dtypes,
                       std::initializer_list<std::int64_t> sizes) const {
  expect_shape(tensor, name, dtypes, sizes);
  THERMOE_EXPECT(tensor.contiguous(), "{} is not contiguous; pass {}.contiguous()", name, name);
}

const void* Arguments::expect(const OptionalTensor& tensor, const char* name, DType dtype,
                              std::initializer_list<std::int64_t> sizes) const {
  if (!tensor) return nullptr;
  expect(*tensor, name, {dtype}, sizes);
  return tensor->data();
}

std::int64_t Arguments::expect_rows_apart(const Tensor& tensor, const char* name, DType dtype,
                                          std::initializer_list<std::int64_t> sizes) const {
  expect_shape(tensor, name, {dtype}, sizes);
  const auto is = tensor.sizes();
  const auto strides = tensor.strides();
  std::int64_t row = 1;
  bool whole = true;
  for (std::size_t i = is.size(); i-- > 1;) {
    whole = whole && (is[i] <= 1 || strides[i] == row);
    row *= is[i];
  }
  THERMOE_EXPECT(whole && strides[0] >= row,
                 "{} has strides [{}]; expected [{} or more, ...], each of its {} parts contiguous",
                 name, fmt::join(strides, ", "), row, is[0]);
  return strides[0];
}

void Arguments::expect_aligned(const Tensor& tensor, const char* name, std::size_t bytes) {
  THERMOE_EXPECT(reinterpret_cast<std::uintptr_t>(tensor.data()) % bytes == 0,
                 "{} does not start at a multiple of {} bytes, as a slice may not; pass {}.clone()",
                 name, bytes, name);
}

int to_int(std::int64_t value, const char* name) {
  THERMOE_EXPECT(
      value >= std::numeric_limits<int>::min() && value <= std::numeric_limits<int>::max(),
      "{}={} is out of range", name, value);
  return static_cast<int>(value);
}

}  // namespace thermoe::torch_ops
