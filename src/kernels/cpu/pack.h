// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/cpu_isa.h"

namespace thermoe::cpu {

inline constexpr int kLanes = 16;

/// Sixteen values in native vectors of W lanes: one AVX-512 register, two of AVX2 or four of SSE2.
/// (A 64-byte vector type would do where registers have 64 bytes; elsewhere gcc keeps it in
/// memory.) Plain IEEE operations lane by lane; comparisons give lanes of 0 or -1.
template <class T, int W>
struct Pack {
  typedef T Native __attribute__((vector_size(W * sizeof(T))));
  static constexpr int kParts = kLanes / W;
  Native part[kParts];
};

template <int W>
using Floats = Pack<float, W>;
template <int W>
using Ints = Pack<std::int32_t, W>;

/// Reads or writes 16 values at any address.
template <int W, class T>
THERMOE_INLINE Pack<T, W> load(const T* from) {
  Pack<T, W> v;
  _Pragma("GCC unroll 4") for (int i = 0; i < v.kParts; ++i) {
    __builtin_memcpy(&v.part[i], from + i * W, sizeof v.part[i]);
  }
  return v;
}
template <int W, class T>
THERMOE_INLINE void store(T* to, const Pack<T, W>& v) {
  _Pragma("GCC unroll 4") for (int i = 0; i < v.kParts; ++i) {
    __builtin_memcpy(to + i * W, &v.part[i], sizeof v.part[i]);
  }
}
/// Writes the first `count` lanes only.
template <int W, class T>
THERMOE_INLINE void store_first(T* to, const Pack<T, W>& v, int count) {
  T lanes[kLanes];
  store(lanes, v);
  for (int i = 0; i < count; ++i) to[i] = lanes[i];
}

/// x in each lane; -0 becomes 0. (Of x - 0, which would not change it, gcc 12 makes one masked
/// broadcast a lane.)
template <int W, class T>
THERMOE_INLINE Pack<T, W> splat(T x) {
  Pack<T, W> v;
  _Pragma("GCC unroll 4") for (int i = 0; i < v.kParts; ++i) {
    v.part[i] = typename Pack<T, W>::Native{} + x;
  }
  return v;
}

/// The same in one instruction, for the innermost loops: without the addition, and -0 stays -0.
template <int W>
THERMOE_INLINE Floats<W> broadcast(const float& x) {
#if defined(__x86_64__) && !defined(__clang__)
  if constexpr (W >= kAvx2Width) {
    Floats<W> v;
    asm("vbroadcastss\t%1, %0" : "=v"(v.part[0]) : "m"(x));
    for (int i = 1; i < v.kParts; ++i) v.part[i] = v.part[0];
    return v;
  }
#endif
  return splat<W>(x);
}

// Pack op Pack, Pack op scalar, scalar op Pack.
#define THERMOE_PACK_OPERATOR(op, Result)                                                          \
  template <class T, int W>                                                                        \
  THERMOE_INLINE Pack<Result, W> operator op(const Pack<T, W>& a, const Pack<T, W>& b) {           \
    Pack<Result, W> r;                                                                             \
    _Pragma("GCC unroll 4") for (int i = 0; i < r.kParts; ++i) r.part[i] = a.part[i] op b.part[i]; \
    return r;                                                                                      \
  }                                                                                                \
  template <class T, int W>                                                                        \
  THERMOE_INLINE Pack<Result, W> operator op(const Pack<T, W>& a, std::type_identity_t<T> b) {     \
    return a op splat<W>(b);                                                                       \
  }                                                                                                \
  template <class T, int W>                                                                        \
  THERMOE_INLINE Pack<Result, W> operator op(std::type_identity_t<T> a, const Pack<T, W>& b) {     \
    return splat<W>(a) op b;                                                                       \
  }
THERMOE_PACK_OPERATOR(+, T)
THERMOE_PACK_OPERATOR(-, T)
THERMOE_PACK_OPERATOR(*, T)
THERMOE_PACK_OPERATOR(/, T)
THERMOE_PACK_OPERATOR(&, T)
THERMOE_PACK_OPERATOR(^, T)
THERMOE_PACK_OPERATOR(>, std::int32_t)
THERMOE_PACK_OPERATOR(<, std::int32_t)
THERMOE_PACK_OPERATOR(==, std::int32_t)
#undef THERMOE_PACK_OPERATOR

template <class T, int W>
THERMOE_INLINE Pack<T, W> operator<<(const Pack<T, W>& a, int bits) {
  Pack<T, W> r;
  _Pragma("GCC unroll 4") for (int i = 0; i < r.kParts; ++i) r.part[i] = a.part[i] << bits;
  return r;
}
template <class T, int W>
THERMOE_INLINE Pack<T, W> operator>>(const Pack<T, W>& a, int bits) {
  Pack<T, W> r;
  _Pragma("GCC unroll 4") for (int i = 0; i < r.kParts; ++i) r.part[i] = a.part[i] >> bits;
  return r;
}

/// mask ? a : b, lane by lane.
template <class T, int W>
THERMOE_INLINE Pack<T, W> select(const Ints<W>& mask, const Pack<T, W>& a, const Pack<T, W>& b) {
  Pack<T, W> r;
  _Pragma("GCC unroll 4") for (int i = 0; i < r.kParts; ++i) {
    r.part[i] = mask.part[i] ? a.part[i] : b.part[i];
  }
  return r;
}
template <class T, int W>
THERMOE_INLINE Pack<T, W> select(const Ints<W>& mask, std::type_identity_t<T> a,
                                 const Pack<T, W>& b) {
  return select(mask, splat<W>(a), b);
}

/// Lane by lane, correctly rounded. (A vector instruction where sqrt sets no errno.)
template <int W>
THERMOE_INLINE Floats<W> sqrt(const Floats<W>& x) {
  float lanes[kLanes];
  store(lanes, x);
  for (float& lane : lanes) lane = __builtin_sqrtf(lane);
  return load<W>(lanes);
}

/// table[index & 15], lane by lane, where one instruction does that (clang 14 has no name for it).
#if defined(__x86_64__) && !defined(__clang__)
template <int W>
inline constexpr bool kHasLookup = W == kLanes;
template <int W>
THERMOE_INLINE Floats<W> lookup(const Floats<W>& table, const Ints<W>& index) {
  static_assert(kHasLookup<W>);
  return {{__builtin_shuffle(table.part[0], index.part[0])}};
}
#else
template <int W>
inline constexpr bool kHasLookup = false;
template <int W>
Floats<W> lookup(const Floats<W>& table, const Ints<W>& index) = delete;
#endif

/// The same numbers in another type.
template <class To, class From, int W>
THERMOE_INLINE Pack<To, W> convert(const Pack<From, W>& a) {
  Pack<To, W> r;
  _Pragma("GCC unroll 4") for (int i = 0; i < r.kParts; ++i) {
    r.part[i] = __builtin_convertvector(a.part[i], typename Pack<To, W>::Native);
  }
  return r;
}
/// The same bits in another type.
template <class To, class From, int W>
THERMOE_INLINE Pack<To, W> bits_as(const Pack<From, W>& a) {
  static_assert(sizeof(Pack<To, W>) == sizeof(Pack<From, W>));
  Pack<To, W> r;
  _Pragma("GCC unroll 4") for (int i = 0; i < r.kParts; ++i) {
    r.part[i] = (typename Pack<To, W>::Native)a.part[i];
  }
  return r;
}

/// Sum and maximum of the lanes, halves first: the same order on every machine.
template <int W>
THERMOE_INLINE float sum(const Floats<W>& v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
template <int W>
THERMOE_INLINE float max(const Floats<W>& v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
    }
  }
  return lanes[0];
}

}  // namespace thermoe::cpu
