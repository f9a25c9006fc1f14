// SPDX-License-Identifier: Apache-2.0
#include "engine/c_boundary.h"

namespace thermoe {

std::string& last_error() {
  thread_local std::string message;
  return message;
}

thermoe_status fail(thermoe_status status, const char* what) noexcept {
  try {
    last_error() = what;
  } catch (...) {  // no memory for the message
    last_error().clear();
  }
  return status;
}

}  // namespace thermoe
