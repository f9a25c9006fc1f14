// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/errors.h"
#include "tensor.h"
#include "torch_abi.h"

namespace thermoe::torch_ops {

/// A value out of an argument; what it owns becomes the result's.
template <class T>
struct FromIValue {
  static_assert(std::is_arithmetic_v<T>);
  static T take(StableIValue value) {
    T result;
    std::memcpy(&result, &value, sizeof result);
    return result;
  }
};
template <>
struct FromIValue<Tensor> {
  static Tensor take(StableIValue value) {
    return Tensor(reinterpret_cast<AtenTensorHandle>(value));
  }
};
template <>
struct FromIValue<std::string> {
  static std::string take(StableIValue value) {
    const std::unique_ptr<StringOpaque, AOTITorchError (*)(StringHandle)> string(
        reinterpret_cast<StringHandle>(value), torch_delete_string);
    std::size_t length = 0;
    const char* data = nullptr;
    check(torch_string_length(string.get(), &length), "torch_string_length");
    check(torch_string_c_str(string.get(), &data), "torch_string_c_str");
    return {data, length};
  }
};
template <class T>
struct FromIValue<std::optional<T>> {
  static std::optional<T> take(StableIValue value) {
    const std::unique_ptr<StableIValue> held(reinterpret_cast<StableIValue*>(value));
    if (!held) return std::nullopt;
    return FromIValue<T>::take(*held);
  }
};

/// A function of ours as torch calls it: arguments are taken from the stack, results of a tuple or
/// a Tensor put there. What is wrong with an argument becomes std::invalid_argument, which Python
/// sees as a ValueError, anything else std::runtime_error.
template <auto kFunction>
struct Boxed;
template <class Result, class... Args, Result (*kFunction)(Args...)>
struct Boxed<kFunction> {
  static void call(StableIValue* stack, std::uint64_t inputs, std::uint64_t /*outputs*/) {
    try {
      if (inputs != sizeof...(Args))
        throw std::logic_error("the op's schema is not its function's");
      run(stack, std::index_sequence_for<Args...>{});
    } catch (const PreconditionError& error) {
      throw std::invalid_argument(error.what());
    } catch (const UsageError& error) {
      throw std::runtime_error(error.what());
    }
  }

 private:
  template <std::size_t... kIndex>
  static void run(StableIValue* stack, std::index_sequence<kIndex...>) {
    // Braces: in order, so that each is owned before the next is taken.
    std::tuple<std::decay_t<Args>...> arguments{
        FromIValue<std::decay_t<Args>>::take(stack[kIndex])...};
    put(stack, std::apply(kFunction, std::move(arguments)));
  }
  static void put(StableIValue* stack, Tensor result) {
    *stack = reinterpret_cast<StableIValue>(result.release());
  }
  template <class... Results>
  static void put(StableIValue* stack, std::tuple<Results...> results) {
    std::apply([&](Results&... result) { (put(stack++, std::move(result)), ...); }, results);
  }
};

}  // namespace thermoe::torch_ops
