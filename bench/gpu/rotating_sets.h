// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe::bench {

/// How many sets of this size rows rotate through, so that a set has left L2 before it is read
/// again: together more than four times L2, at least 8, at most `most`.
int sets_to_rotate(double bytes_per_set, int most = 128);

}  // namespace thermoe::bench
