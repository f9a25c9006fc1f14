// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe::testing {

/// Calls of operator new by this thread so far, in a program that links counted_allocation.cpp.
long allocations();

}  // namespace thermoe::testing
