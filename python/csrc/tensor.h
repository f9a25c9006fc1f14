// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/float_type.h"
#include "torch_abi.h"

namespace thermoe::torch_ops {

enum class DType { kF32, kBf16, kF16, kI32, kU8, kOther };
std::string_view to_string(DType dtype);
/// Of a tensor of floats.
FloatType float_type(DType dtype);
/// The type of torch's ABI that stands for it.
std::int32_t abi_dtype(DType dtype);

/// Throws std::runtime_error where torch refused a call.
void check(AOTITorchError status, const char* function);

/// A tensor of torch: a counted reference.
class Tensor {
 public:
  /// Takes the handle over.
  explicit Tensor(AtenTensorHandle handle);

  std::span<const std::int64_t> sizes() const;
  std::span<const std::int64_t> strides() const;
  std::int64_t size(std::size_t dim) const { return sizes()[dim]; }
  DType dtype() const;
  std::int32_t device_type() const;
  std::int32_t device_index() const;
  bool contiguous() const;
  const void* data() const;
  void* mutable_data() const;
  template <class T>
  const T* data_as() const {
    return static_cast<const T*>(data());
  }
  template <class T>
  T* mutable_as() const {
    return static_cast<T*>(mutable_data());
  }
  /// "float32 [3, 128]".
  std::string describe() const;
  /// Gives the handle away.
  AtenTensorHandle release();

 private:
  struct Delete {
    void operator()(AtenTensorOpaque* handle) const { aoti_torch_delete_tensor_object(handle); }
  };
  std::unique_ptr<AtenTensorOpaque, Delete> handle_;
};
using OptionalTensor = std::optional<Tensor>;

/// An uninitialised contiguous tensor on the device of `like`.
Tensor empty(const Tensor& like, std::vector<std::int64_t> sizes, DType dtype);

/// The tensors of a call: each is to lie on the device of the first, contiguous. Its checks throw
/// PreconditionError, naming argument, what it is and what would be right.
class Arguments {
 public:
  Arguments(Backend backend, const Tensor& first, const char* name);

  static constexpr std::int64_t kAny = -1;
  void expect(const Tensor& tensor, const char* name, std::initializer_list<DType> dtypes,
              std::initializer_list<std::int64_t> sizes) const;
  /// The same for one that may be absent; its data or null.
  const void* expect(const OptionalTensor& tensor, const char* name, DType dtype,
                     std::initializer_list<std::int64_t> sizes) const;
  /// The same for one whose rows along the first dimension may lie apart: whole each, in order, no
  /// two of them on one place. The elements from one to the next.
  std::int64_t expect_rows_apart(const Tensor& tensor, const char* name, DType dtype,
                                 std::initializer_list<std::int64_t> sizes) const;
  /// That pointers have so many bytes' alignment: slices of tensors may not.
  static void expect_aligned(const Tensor& tensor, const char* name, std::size_t bytes);

 private:
  Backend backend_;
  std::int32_t device_type_;
  std::int32_t device_index_;
  const char* first_name_;

  void expect_shape(const Tensor& tensor, const char* name, std::initializer_list<DType> dtypes,
                    std::initializer_list<std::int64_t> sizes) const;
};

/// As an int of ours; throws PreconditionError where it is none.
int to_int(std::int64_t value, const char* name);

}  // namespace thermoe::torch_ops
