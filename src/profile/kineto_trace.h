// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "profile/parse_options.h"
#include "profile/parsed_profile.h"

namespace thermoe {

/// Reads a trace of torch.profiler (Kineto, in Chrome's format), packed by gzip or not, in one
/// pass: memory grows with its events, not with its text. Ops are named by the innermost
/// `record_function` (category user_annotation) around the launch, in a trace without those by the
/// operator (cpu_op). Throws FormatError for what is no such trace, is cut off or holds several
/// processes.
ParsedProfile parse_kineto_trace(const std::string& path, const ParseOptions& options);

}  // namespace thermoe
