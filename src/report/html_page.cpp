// SPDX-License-Identifier: Apache-2.0
#include "report/html_page.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "core/json_file.h"
#include "report/page_files.h"

namespace thermoe {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

/// Replaces each {{name}} of the template once, from left to right: what is filled in is not looked
/// at again, so that data may hold braces.
std::string fill(std::string_view page, const Fields& fields) {
  std::string out;
  for (;;) {
    const std::size_t open = page.find("{{");
    out += page.substr(0, open);
    if (open == std::string_view::npos) return out;
    const std::size_t close = page.find("}}", open);
    const std::string_view name = page.substr(open + 2, close - open - 2);
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& one) { return one.first == name; });
    THERMOE_EXPECT(field != fields.end(), "the page's template asks for {{{{{}}}}}", name);
    out += field->second;
    page.remove_prefix(close + 2);
  }
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string script_json(const nlohmann::json& value) {
  const std::string text = json_text(value);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {  // these stand only within strings
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

std::string html_page(const HtmlPage& page) {
  const std::string kind = html_text(page.kind), title = html_text(page.title),
                    controls = html_text(page.controls), settings = html_text(page.settings),
                    data = script_json(page.data);
  std::string script;
  for (const std::string_view part : page.scripts) script += part;
  return fill(embedded_page_template(), {{"kind", kind},
                                         {"title", title},
                                         {"verdict", page.verdict},
                                         {"controls", controls},
                                         {"settings", settings},
                                         {"style", embedded_page_style()},
                                         {"plotly", embedded_plotly()},
                                         {"data", data},
                                         {"script", script}});
}

}  // namespace thermoe
