// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/errors.h"

namespace thermoe {

/// A plan buffer that another controller writes.
class BufferInUse final : public Error {
  using Error::Error;
};

/// The same function of the same controller is under way in another thread.
class CallUnderWay final : public Error {
  using Error::Error;
};

}  // namespace thermoe
