// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

/// PyTorch's stable C ABI, as much of it as the ops use, declared by ourselves: a build needs no
/// torch, and one library runs with every torch from 2.10 on (docs/adr/0021-wheel.md). The names
/// and types are those of torch/csrc/stable/c/shim.h and torch/csrc/inductor/aoti_torch/c/shim.h;
/// torch_abi_check.cpp compiles both together where there is a torch. A function that returns a
/// TorchError returns 0 where it succeeded, and says on stderr why it did not.
extern "C" {

struct AtenTensorOpaque;
using AtenTensorHandle = AtenTensorOpaque*;
class TorchLibraryOpaque;
using TorchLibraryHandle = TorchLibraryOpaque*;
struct StringOpaque;
using StringHandle = StringOpaque*;
using AOTITorchError = std::int32_t;
/// An argument or a result of a boxed op: the value itself in its low bytes, a handle that the
/// receiver owns, or for an optional a pointer to such a value on the heap, null where it is
/// absent.
using StableIValue = std::uint64_t;

std::int32_t aoti_torch_device_type_cpu();
std::int32_t aoti_torch_device_type_cuda();
std::int32_t aoti_torch_dtype_float32();
std::int32_t aoti_torch_dtype_bfloat16();
std::int32_t aoti_torch_dtype_float16();
std::int32_t aoti_torch_dtype_int32();
std::int32_t aoti_torch_dtype_uint8();

AOTITorchError aoti_torch_delete_tensor_object(AtenTensorHandle tensor);
AOTITorchError torch_get_mutable_data_ptr(AtenTensorHandle tensor, void** data);
AOTITorchError torch_get_const_data_ptr(AtenTensorHandle tensor, const void** data);
AOTITorchError aoti_torch_get_dim(AtenTensorHandle tensor, std::int64_t* dim);
AOTITorchError aoti_torch_get_sizes(AtenTensorHandle tensor, std::int64_t** sizes);  // borrowed
AOTITorchError aoti_torch_get_strides(AtenTensorHandle tensor,
                                      std::int64_t** strides);  // borrowed
AOTITorchError aoti_torch_get_dtype(AtenTensorHandle tensor, std::int32_t* dtype);
AOTITorchError aoti_torch_get_device_type(AtenTensorHandle tensor, std::int32_t* type);
AOTITorchError aoti_torch_get_device_index(AtenTensorHandle tensor, std::int32_t* index);
AOTITorchError aoti_torch_is_contiguous(AtenTensorHandle tensor, bool* contiguous);
AOTITorchError aoti_torch_empty_strided(std::int64_t dim, const std::int64_t* sizes,
                                        const std::int64_t* strides, std::int32_t dtype,
                                        std::int32_t device_type, std::int32_t device_index,
                                        AtenTensorHandle* tensor);

AOTITorchError torch_string_length(StringHandle string, std::size_t* length);
AOTITorchError torch_string_c_str(StringHandle string, const char** data);
AOTITorchError torch_delete_string(StringHandle string);

AOTITorchError aoti_torch_library_init_def(const char* name, const char* file, std::uint32_t line,
                                           TorchLibraryHandle* library);
AOTITorchError aoti_torch_library_init_impl(const char* name, const char* dispatch_key,
                                            const char* file, std::uint32_t line,
                                            TorchLibraryHandle* library);
AOTITorchError aoti_torch_delete_library_object(TorchLibraryHandle library);
AOTITorchError aoti_torch_library_def(TorchLibraryHandle library, const char* schema);
AOTITorchError torch_library_impl(TorchLibraryHandle library, const char* name,
                                  void (*boxed)(StableIValue*, std::uint64_t, std::uint64_t),
                                  std::uint64_t abi_version);
}

namespace thermoe::torch_ops {

/// The ABI that this file declares: torch 2.10's. Later ones convert from it.
inline constexpr std::uint64_t kAbiVersion = std::uint64_t{2} << 56 | std::uint64_t{10} << 48;

}  // namespace thermoe::torch_ops
