// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "doctor/doctor_text.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// How the diagnosis is printed.
struct DoctorOutput {
  bool json = false;
  TextStyle style{};      ///< of the text
  std::string version{};  ///< the program's, in the JSON
};

/// Examines the machine, prints what was found on standard output and returns the exit code: 0 if
/// simulated runs work here, otherwise 1. Where the driver hangs it ends the process itself, with
/// that code.
int run_doctor(const HostSystem& machine, const DoctorOutput& output);

}  // namespace thermoe::doctor
