// SPDX-License-Identifier: Apache-2.0
#include "telemetry/source.h"

namespace thermoe {

Snapshot Source::read(Seconds now) {
  Snapshot snapshot = poll(now);
  plausibility_.apply(snapshot, now);
  return snapshot;
}

}  // namespace thermoe
