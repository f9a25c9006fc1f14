// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace thermoe {

/// A page, or why there is none; neither while it has not come as a whole.
struct HttpPage {
  std::optional<std::string> body{};
  std::string fault{};
};

/// The page in what a server has sent so far, and perhaps `closed` the connection after: with
/// Content-Length, in chunks, or up to the connection's end. Only status 200 is a page.
HttpPage parse_http_answer(std::string_view text, bool closed);

}  // namespace thermoe
