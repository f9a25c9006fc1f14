// SPDX-License-Identifier: Apache-2.0
#include "report/html_report.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/errors.h"
#include "report/page_files.h"
#include "sample_run.h"

namespace thermoe {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::size_t occurrences(const std::string& text, const std::string& of) {
  std::size_t count = 0;
  for (std::size_t at = text.find(of); at != std::string::npos; at = text.find(of, at + 1)) ++count;
  return count;
}

class HtmlReport : public testing::Test {
 protected:
  HtmlReport() { std::filesystem::create_directories(folder_); }
  ~HtmlReport() override { std::filesystem::remove_all(folder_); }

  std::string sample(const std::string& kind) const {
    const std::string folder = folder_ + "/" + kind;
    write_sample_run(folder, sample_run_named(kind));
    return folder;
  }
  std::string page(const std::vector<std::string>& folders) const {
    const std::string path = folder_ + "/page.html";
    write_html_report(folders, path, "1.2.3");
    std::stringstream content;
    content << std::ifstream(path).rdbuf();
    return content.str();
  }
  static json data_of(const std::string& page) {
    const std::string open = "<script type=\"application/json\" id=\"data\">";
    const std::size_t from = page.find(open) + open.size();
    return json::parse(page.substr(from, page.find("</script>", from) - from));
  }
  /// The page without the plot library.
  static std::string ours(std::string page) {
    const std::size_t at = page.find(embedded_plotly());
    return page.erase(at, embedded_plotly().size());
  }

  std::string folder_ =
      (std::filesystem::temp_directory_path() / fmt::format("html_report.{}", ::getpid())).string();
};

TEST_F(HtmlReport, IsOneFileThatForbidsAndNeedsNoRequest) {
  const std::string text = page({sample("plain")});
  EXPECT_LT(text.size(), std::size_t{6} << 20);
  EXPECT_THAT(text.substr(0, 600), HasSubstr("default-src 'none'"));
  std::string page = ours(text);
  const std::string name_of_svg = "http://www.w3.org/2000/svg";  // a name, never asked for
  page.erase(page.find(name_of_svg), name_of_svg.size());
  for (const char* outside : {"http:", "https:", " src=", "@import", "url(", "fetch(", "XMLHttp"}) {
    EXPECT_THAT(page.substr(page.find("<style>")), Not(HasSubstr(outside)));
  }
}

TEST_F(HtmlReport, KeepsThePlotLibrarysLicenceNotice) {
  const std::string text = page({sample("plain")});
  EXPECT_THAT(text, HasSubstr("Licensed under the MIT license"));
  EXPECT_EQ(embedded_plotly().substr(0, 16), "/**\n* plotly.js ");
  EXPECT_EQ(occurrences(std::string(embedded_plotly()), "</script"), 0U)
      << "the library could not stand in a <script> of the page";
}

TEST_F(HtmlReport, ShowsVerdictFiguresAndSettings) {
  const std::string text = page({sample("plain")});
  EXPECT_THAT(
      text,
      HasSubstr("<p class=\"verdict\">On the simulated test GPU, KERNEL_AWARE_TTHA held 350 W"));
  EXPECT_THAT(text, HasSubstr("<title>sample (simulated) – thermoe report</title>"));
  const json data = data_of(text);
  EXPECT_EQ(data["version"], "1.2.3");
  EXPECT_EQ(data["runs"].size(), 1U);
  const json& ttha = data["runs"][0]["strategies"][2];
  EXPECT_EQ(ttha["name"], "KERNEL_AWARE_TTHA");
  for (const char* line : {"power", "temperature", "step", "active", "lambda", "loss_total"}) {
    EXPECT_EQ(ttha["lines"][line]["y"].size(), 200U) << line;
  }
  EXPECT_EQ(ttha["load"]["layers"].size(), 3U);
  EXPECT_EQ(ttha["bias"]["experts"], 16);
  EXPECT_EQ(data["runs"][0]["targets"]["power"], 350);
  EXPECT_THAT(data["runs"][0]["settings"].dump(), HasSubstr("experiment/duration_s"));
}

TEST_F(HtmlReport, NamesFromFilesAreNeverMarkup) {
  const std::string text = page({sample("hostile")});
  const std::string plain = page({sample("plain")});
  EXPECT_EQ(occurrences(text, "<script"), occurrences(plain, "<script"));
  EXPECT_EQ(occurrences(text, "</script"), occurrences(plain, "</script"));
  EXPECT_THAT(ours(text), Not(HasSubstr("<b>")));
  EXPECT_THAT(data_of(text)["runs"][0]["name"], HasSubstr("</script><script>"))
      << "and arrive whole as data";
}

TEST_F(HtmlReport, OfAKilledRunSaysSo) {
  const std::string text = page({sample("killed")});
  EXPECT_THAT(text,
              HasSubstr("<p class=\"verdict interrupted\">The run was interrupted 19.9 s of 20 s "
                        "into KERNEL_AWARE_TTHA"));
  const json run = data_of(text)["runs"][0];
  EXPECT_EQ(run["interrupted"], true);
  EXPECT_EQ(run["strategies"][2]["lines"]["power"]["y"].size(), 199U);
}

TEST_F(HtmlReport, OfTwoRunsHoldsBothAndWhatDiffers) {
  const std::string text = page({sample("plain"), sample("other")});
  EXPECT_THAT(text, HasSubstr("sample against other (simulated)"));
  const json data = data_of(text);
  EXPECT_EQ(data["runs"].size(), 2U);
  EXPECT_EQ(
      data["differing_settings"].dump(),
      R"([["experiment/name","sample","other"],["experiment/targets/power_w","350.0","320.0"]])");
}

TEST_F(HtmlReport, RunsOfOneNameAreToldApartByTheirFolders) {
  const std::string a = sample("plain");
  const std::string b = folder_ + "/again";
  write_sample_run(b, sample_run_named("plain"));
  const json data = data_of(page({a, b}));
  EXPECT_EQ(data["runs"][0]["name"], a);
  EXPECT_EQ(data["runs"][1]["name"], b);
  EXPECT_TRUE(data["differing_settings"].empty());
}

TEST_F(HtmlReport, ThatCannotBeWrittenNamesItsPathAndLeavesNothing) {
  const std::string folder = sample("plain");
  EXPECT_THROW(write_html_report({folder}, folder_ + "/none/page.html", ""), WriteError);
  EXPECT_THROW(write_html_report({folder_ + "/none"}, folder_ + "/page.html", ""), UsageError);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/page.html"));
}

TEST(HtmlText, IsEscapedForHtmlAndForScripts) {
  EXPECT_EQ(html_text("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  const std::string text = script_json({{"x", "</script><!-- & \xff"}});
  EXPECT_THAT(text, Not(HasSubstr("<")));
  EXPECT_EQ(json::parse(text)["x"], "</script><!-- & \xef\xbf\xbd") << "no UTF-8 becomes U+FFFD";
}

TEST(ReportPath, LiesInTheFolderOfTheRun) {
  EXPECT_EQ(default_report_path({"runs/demo-1/"}), "runs/demo-1/report.html");
  EXPECT_EQ(default_report_path({"a", "b"}), "a/comparison.html");
  EXPECT_EQ(default_report_path({"/"}), "//report.html");
}

}  // namespace
}  // namespace thermoe
