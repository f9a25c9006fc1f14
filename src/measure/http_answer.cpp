// SPDX-License-Identifier: Apache-2.0
#include "measure/http_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::size_t kLongestHead = std::size_t{64} << 10;

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

/// The value of a header line; empty if there is none.
std::string_view header(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const auto end = std::min(head.find(kLineEnd), head.size());
    const std::string_view line = head.substr(0, end);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && same(line.substr(0, colon), name)) {
      return trimmed(line.substr(colon + 1));
    }
    head.remove_prefix(std::min(end + kLineEnd.size(), head.size()));
  }
  return {};
}

std::optional<std::size_t> size_in(std::string_view digits, int base) {
  std::size_t size = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, size, base);
  if (error != std::errc() || stop != end) return std::nullopt;
  return size;
}

HttpPage refused(std::string why) { return {.fault = std::move(why)}; }

/// Not whole yet: a fault only once nothing more can come.
HttpPage unfinished(bool closed) {
  return closed ? refused("the connection ended within the answer") : HttpPage{};
}

HttpPage unchunked(std::string_view rest, bool closed) {
  std::string body;
  while (true) {
    const auto line_end = rest.find(kLineEnd);
    if (line_end == std::string_view::npos) return unfinished(closed);
    std::string_view digits = rest.substr(0, line_end);
    digits =
        trimmed(digits.substr(0, digits.find(';')));  // extensions of a chunk mean nothing here
    const auto size = size_in(digits, 16);
    if (!size) return refused("a chunk of the answer has no size");
    rest.remove_prefix(line_end + kLineEnd.size());
    if (*size == 0) return {.body = std::move(body)};
    if (rest.size() < kLineEnd.size() || rest.size() - kLineEnd.size() < *size) {
      return unfinished(closed);
    }
    body.append(rest.substr(0, *size));
    rest.remove_prefix(*size);
    if (!rest.starts_with(kLineEnd)) return refused("a chunk of the answer has not its size");
    rest.remove_prefix(kLineEnd.size());
  }
}

/// What is wrong with the first line; empty if it is well.
std::string status_fault(std::string_view head) {
  std::string_view status = head.substr(0, head.find(kLineEnd));
  if (!status.starts_with("HTTP/1.")) return "the answer is not HTTP/1";
  status.remove_prefix(std::min(status.find(' ') + 1, status.size()));
  if (status.starts_with("200")) return "";
  std::string fault = fmt::format("the server answers {}", printable(status.substr(0, 80), true));
  const std::string_view place = header(head, "Location");
  if (!place.empty())
    fault += fmt::format("; give {} instead", printable(place.substr(0, 200), true));
  return fault;
}

}  // namespace

HttpPage parse_http_answer(std::string_view text, bool closed) {
  const auto head_end = text.find(kHeadEnd);
  if (head_end == std::string_view::npos) {
    if (text.size() > kLongestHead) return refused("the answer is not HTTP/1");
    return unfinished(closed);
  }
  const std::string_view head = text.substr(0, head_end);
  const std::string_view rest = text.substr(head_end + kHeadEnd.size());
  if (std::string fault = status_fault(head); !fault.empty()) return refused(std::move(fault));
  const std::string_view encoding = header(head, "Content-Encoding");
  if (!encoding.empty() && !same(encoding, "identity")) return refused("the answer is compressed");
  const std::string_view transfer = header(head, "Transfer-Encoding");
  if (same(transfer, "chunked")) return unchunked(rest, closed);
  if (!transfer.empty() && !same(transfer, "identity")) {
    return refused("the answer's transfer encoding is not known");
  }
  const std::string_view length = header(head, "Content-Length");
  if (length.empty()) return closed ? HttpPage{.body = std::string(rest)} : HttpPage{};
  const auto size = size_in(length, 10);
  if (!size) return refused("the answer's Content-Length is no number");
  if (rest.size() < *size) return unfinished(closed);
  return {.body = std::string(rest.substr(0, *size))};
}

}  // namespace thermoe
