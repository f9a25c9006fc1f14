// SPDX-License-Identifier: Apache-2.0
#include "kernels/decode_attention.h"

#include "core/errors.h"
#include "kernels/cpu/backends.h"

namespace thermoe {

void decode_attention(const DecodeAttentionArgs& args) {
  const KvLayout& l = args.layout;
  THERMOE_EXPECT(l.streams >= 1 && l.heads >= 1 && l.context >= 1,
                 "streams={}, heads={} and context={} must be positive", l.streams, l.heads,
                 l.context);
  THERMOE_EXPECT(l.head_dim >= 1 && l.head_dim <= kMaxHeadDim, "head_dim={} is not in 1..{}",
                 l.head_dim, kMaxHeadDim);
  THERMOE_EXPECT(args.query && args.keys && args.values && args.out,
                 "query, keys, values or out is null");
  THERMOE_EXPECT(args.query_stride >= l.heads * l.head_dim,
                 "query_stride={} is less than heads={} x head_dim={}", args.query_stride, l.heads,
                 l.head_dim);
  THERMOE_EXPECT(args.scratch.size() >= l.scratch(), "scratch of {} floats, {} are needed",
                 args.scratch.size(), l.scratch());
  THERMOE_EXPECT(args.positions.size() == static_cast<std::size_t>(l.streams),
                 "{} positions for {} streams", args.positions.size(), l.streams);
  for (const int position : args.positions) {
    THERMOE_EXPECT(position >= 0 && position < l.context, "position {} is not in 0..{}", position,
                   l.context - 1);
  }
  cpu::decode_attention(args, cpu::best_isa());
}

}  // namespace thermoe
