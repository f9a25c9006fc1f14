// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "core/units.h"
#include "measure/http_answer.h"

namespace thermoe {

/// Where a page is: http://host[:port][/path].
struct HttpUrl {
  std::string text{};  ///< as it was given
  std::string host{};  ///< without the brackets of an IPv6 address
  std::string port = "80";
  std::string path = "/";
};
/// Throws UsageError for what is no such URL, for https, and for a name with a password in it.
HttpUrl parse_http_url(std::string_view text);

/// One GET over a connection of its own, for pages of metrics: plain HTTP/1.1, Content-Length,
/// chunks or the connection's end, at most 16 MiB, no redirections. Takes at most `timeout` in all,
/// and what the system's resolver needs for a name.
HttpPage http_get(const HttpUrl& url, Seconds timeout);

}  // namespace thermoe
