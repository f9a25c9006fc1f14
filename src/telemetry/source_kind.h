// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe {

/// Where readings come from. kMachine: NVML and the host, as far as there are any.
enum class SourceKind { kMachine, kNvml, kHost, kReplay, kSimulated };

}  // namespace thermoe
