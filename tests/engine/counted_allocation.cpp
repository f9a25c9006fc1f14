// SPDX-License-Identifier: Apache-2.0
// A file of its own: where the compiler sees both ends of these, it takes them for a mismatch.
#include "counted_allocation.h"

#include <cstdlib>
#include <new>

namespace {
thread_local long count = 0;
}  // namespace

long thermoe::testing::allocations() { return count; }

void* operator new(std::size_t bytes) {
  ++count;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t& /*unused*/) noexcept {
  ++count;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
