// SPDX-License-Identifier: Apache-2.0
#include "doctor/run_doctor.h"

#include <cstdio>

#include "core/process_exit.h"
#include "doctor/diagnosis.h"
#include "doctor/doctor_json.h"

namespace thermoe::doctor {

int run_doctor(const HostSystem& machine, const DoctorOutput& output) {
  const Diagnosis diagnosis = diagnose(machine);
  const std::string text =
      output.json ? to_json(diagnosis, output.version) : to_text(diagnosis, output.style);
  std::fputs(text.c_str(), stdout);  // main, or the exit below, looks whether it arrived
  const int code = diagnosis.healthy() ? 0 : 1;
  if (diagnosis.thread_left_behind) exit_leaving_threads(code);
  return code;
}

}  // namespace thermoe::doctor
