// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_source.h"

namespace thermoe {

Snapshot SimulatedSource::poll(Seconds now) {
  return {.at = now, .simulated = true, .gpus = {gpu_.readings(now)}};
}

}  // namespace thermoe
