// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe::bench {

/// Each adds its benchmarks to the program's list.
void register_linear();
void register_topk();

}  // namespace thermoe::bench
