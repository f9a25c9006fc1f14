// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "metrics/metric_family.h"

namespace thermoe {

enum class ExpositionFormat {
  kText,         ///< Prometheus' text format 0.0.4, which everything reads
  kOpenMetrics,  ///< OpenMetrics 1.0.0
};

/// The richest of the formats that a request's Accept header names; text where it names none.
ExpositionFormat accepted_format(std::string_view accept);
/// The format's Content-Type.
std::string_view content_type(ExpositionFormat format);

/// The page, families in their order; one without samples is left out. Bytes of labels that are no
/// UTF-8 become U+FFFD, control characters go. Throws PreconditionError for names that the formats
/// do not have.
std::string exposition(const std::vector<MetricFamily>& families, ExpositionFormat format);

}  // namespace thermoe
