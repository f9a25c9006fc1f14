// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <new>
#include <string>

#include "core/errors.h"
#include "engine/engine_errors.h"
#include "engine/thermoe.h"

// The boundary: no exception leaves a function of the C ABI (docs/adr/0002-error-policy.md).
namespace thermoe {

/// What thermoe_last_error gives: of this thread's last call that failed.
std::string& last_error();
/// Keeps `what` as the last error. Gives `status` back.
thermoe_status fail(thermoe_status status, const char* what) noexcept;

/// Runs `work`; what it throws becomes a status and the last error.
template <class Work>
thermoe_status guarded(const Work& work) noexcept {
  try {
    work();
    return THERMOE_OK;
  } catch (const UsageError& e) {
    return fail(THERMOE_BAD_INPUT, e.what());
  } catch (const TelemetryError& e) {
    return fail(THERMOE_UNAVAILABLE, e.what());
  } catch (const BufferInUse& e) {
    return fail(THERMOE_BUSY, e.what());
  } catch (const CallUnderWay& e) {
    return fail(THERMOE_BUSY, e.what());
  } catch (const std::bad_alloc&) {
    return fail(THERMOE_FAILED, "out of memory");
  } catch (const std::exception& e) {
    return fail(THERMOE_FAILED, e.what());
  } catch (...) {
    return fail(THERMOE_FAILED, "a fault without a name");
  }
}

inline void need(bool condition, const char* sentence) {
  if (!condition) throw UsageError(sentence);
}

}  // namespace thermoe
