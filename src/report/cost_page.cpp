// SPDX-License-Identifier: Apache-2.0
#include "report/cost_page.h"

#include <fmt/format.h>

#include "report/html_page.h"
#include "report/page_files.h"

namespace thermoe {

std::string cost_page(const nlohmann::json& costs, const std::string& version) {
  nlohmann::json data = costs;
  data["version"] = version;
  const std::string verdict = html_text(costs.at("verdict").get<std::string>());
  return html_page(
      {.kind = "thermoe cost model",
       .title = costs.at("title").get<std::string>(),
       .verdict = fmt::format("<p class=\"verdict\">{}</p>\n", verdict),
       .controls = "Zoom and theme",
       .settings = "Device and conditions",
       .data = std::move(data),
       .scripts = {embedded_page_palette(), embedded_page_tables(), embedded_page_figures(),
                   embedded_page_controls(), embedded_page_costs()}});
}

}  // namespace thermoe
