// SPDX-License-Identifier: Apache-2.0
// Where the number of units comes from: what a command prints, and a page of metrics.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "measure/http_answer.h"
#include "measure/output_number.h"
#include "measure/prometheus_counter.h"
#include "measure/unit_meter.h"
#include "one_page_server.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::ThrowsMessage;

TEST(OutputNumber, IsTheLastMatchOfAllLines) {
  OutputNumber number(R"(generated (\d+) tokens)");
  number.add(0, "generated 10 tokens\nsomething else\ngener");
  number.add(1, "generated 999 tok");  // the other output is a text of its own
  number.add(0, "ated 30 tokens, generated 40 tokens\n");
  number.finish();
  EXPECT_THAT(number.number(), Optional(40.0));
  EXPECT_THAT(number.fault(), IsEmpty());
}

TEST(OutputNumber, IsFoundInALastLineWithoutABreakAndInRewrittenOnes) {
  OutputNumber number("([0-9.e+]+) tok");
  number.add(0, "10 tok\r20 tok\r1.5e3 tok");
  number.finish();
  EXPECT_THAT(number.number(), Optional(1500.0));
}

TEST(OutputNumber, WithoutAMatchOrANumberSaysWhy) {
  OutputNumber none("tokens: (.*)");
  none.add(0, "nothing here\n");
  none.finish();
  EXPECT_FALSE(none.number());
  EXPECT_THAT(none.fault(), HasSubstr("no line of the command's output matches"));
  for (const char* text : {"12,345", "", "nan", "inf", "-3", "0", "12 tokens", "0x10", "1e999"}) {
    OutputNumber number("tokens: (.*)");
    number.add(0, std::string("tokens: ") + text + "\n");
    EXPECT_FALSE(number.number()) << text;
    EXPECT_THAT(number.fault(), HasSubstr("no number above 0")) << text;
  }
}

TEST(OutputNumber, RefusesAnExpressionWithoutExactlyOneGroup) {
  EXPECT_THAT([] { OutputNumber("tokens"); }, ThrowsMessage<UsageError>(HasSubstr("has 0 groups")));
  EXPECT_THAT([] { OutputNumber("(a)(b)"); }, ThrowsMessage<UsageError>(HasSubstr("has 2 groups")));
  EXPECT_THAT([] { OutputNumber("(a"); },
              ThrowsMessage<UsageError>(HasSubstr("is no regular expression")));
}

TEST(OutputNumber, ALineWithoutEndIsNoDanger) {
  OutputNumber number("a(.*)b");
  for (int i = 0; i < 1000; ++i) number.add(0, std::string(10000, 'a'));
  number.add(0, "\na7b\n");
  EXPECT_THAT(number.number(), Optional(7.0));
}

TEST(OutputNumber, ALineThatAlmostMatchesInManyWaysIsDoneWithAtOnce) {
  std::string digits;
  while (digits.size() < 2040) digits += "0123456789.";
  for (const char* pattern : {".*([0-9.]+).*tokens", "(?:[0-9.]+)*.* ([0-9]+) tokens",
                              "(?:(?:1|1.|.)+)+([0-9]) tokens"}) {
    OutputNumber number(pattern);
    for (int line = 0; line < 20; ++line) number.add(0, digits + "\n");
    EXPECT_FALSE(number.number()) << pattern;
    number.add(0, "x 15 tokens\n");
    number.finish();
    EXPECT_TRUE(number.number()) << pattern;
  }
}

TEST(OutputNumber, TakesWhatIsUsualInOtherExpressions) {
  const std::pair<const char*, const char*> cases[] = {
      {R"((?:tokens|tok):\s*(\d+))", "tok: 42"},
      {R"(\bn=(\w+)\b)", "xn=7 n=42 "},
      {R"({"tokens": ([0-9]+)})", R"({"tokens": 42})"},
      {R"(^([^][:space:]]+) \(tok\)$)", "42 (tok)"},
      {R"((\d+)(?:,|\D)tok)",
       "\xc3\xa9 42\xff"
       "tok"},
      {R"(a*(42)|b)", "42 b"},
  };
  for (const auto& [pattern, line] : cases) {
    OutputNumber number(pattern);
    number.add(1, std::string(line) + "\n\n");
    EXPECT_THAT(number.number(), Optional(42.0)) << pattern;
  }
}

TEST(OutputNumber, NamesTheRemedyForWhatItDoesNotTake) {
  const std::pair<std::string, const char*> cases[] = {
      {R"((a)\1)", "write out what it shall match"},
      {".*?([0-9]+)", "such as [^0-9]* for .*?"},
      {"([0-9]{1,255})", "repeat with * or +"},
      {R"(([\d.]+))", "write 0-9 for \\d"},
      {R"((\d+)\t)", "\\t is not known"},
      {"(?=x)(a)", "only (?:...) is known"},
      {"([[:digit)", "is no regular expression"},
      {"([[:", "is no regular expression"},
      {"(a)\\", "is no regular expression"},
      {std::string(2000, '('), "longer than 1000 bytes"},
  };
  for (const auto& [pattern, remedy] : cases) {
    EXPECT_THAT([&] { OutputNumber number(pattern); }, ThrowsMessage<UsageError>(HasSubstr(remedy)))
        << pattern;
  }
}

constexpr const char* kPage =
    R"(# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="a {\"b\"} c"} 1.25e+03
vllm:generation_tokens_total{engine="1",model_name="x"} 250 1700000000000
vllm:generation_tokens_created{engine="0"} 7
python_gc_objects_collected_total 12.0
broken{x="1
negative -1
)";

std::optional<double> counter(const char* selector) {
  return read_counter(kPage, parse_counter_selector(selector)).value;
}

TEST(PrometheusCounter, IsSummedOverItsLabels) {
  EXPECT_THAT(counter("vllm:generation_tokens_total"), Optional(1500.0));
  EXPECT_THAT(counter("python_gc_objects_collected_total"), Optional(12.0));
}

TEST(PrometheusCounter, MayBeChosenByLabels) {
  EXPECT_THAT(counter(R"(vllm:generation_tokens_total{engine="1"})"), Optional(250.0));
  EXPECT_THAT(counter(R"(vllm:generation_tokens_total{model_name="a {\"b\"} c", engine="0",})"),
              Optional(1250.0));
  EXPECT_FALSE(counter(R"(vllm:generation_tokens_total{engine="2"})"));
}

TEST(PrometheusCounter, ThatIsNotThereNamesTheNearest) {
  EXPECT_THAT(read_counter(kPage, {.name = "vllm:generation_token_total"}).fault,
              HasSubstr("did you mean vllm:generation_tokens_total?"));
  EXPECT_THAT(
      read_counter(kPage, parse_counter_selector("vllm:generation_tokens_total{a=\"b\"}")).fault,
      HasSubstr("not with those labels"));
  EXPECT_THAT(read_counter(kPage, {.name = "negative"}).fault, HasSubstr("no finite number"));
  EXPECT_THAT(read_counter("", {.name = "x"}).fault, HasSubstr("the page has no x"));
}

TEST(PrometheusCounter, RefusesAMalformedSelector) {
  for (const char* text :
       {"", "{a=\"b\"}", "name{", "name{a}", "name{a=b}", "name x", "name{a=\"b\"}x"}) {
    EXPECT_THROW(parse_counter_selector(text), UsageError) << text;
  }
}

TEST(HttpAnswer, EndsWithItsLengthItsChunksOrItsConnection) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
  EXPECT_THAT(parse_http_answer(head + "content-length: 3\r\n\r\nabcd", false).body,
              Optional(std::string("abc")));
  EXPECT_THAT(
      parse_http_answer(
          head + "Transfer-Encoding: Chunked\r\n\r\n2;x=y\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n",
          false)
          .body,
      Optional(std::string("ab0123456789")));
  EXPECT_THAT(parse_http_answer(head + "\r\nall of it", true).body,
              Optional(std::string("all of it")));
}

TEST(HttpAnswer, ThatIsNotWholeIsNeitherAPageNorAFaultUntilTheConnectionEnds) {
  const std::string whole =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
  for (std::size_t size = 0; size + 2 < whole.size(); ++size) {
    const HttpPage page = parse_http_answer(whole.substr(0, size), false);
    EXPECT_FALSE(page.body) << size;
    EXPECT_THAT(page.fault, IsEmpty()) << size;
    EXPECT_THAT(parse_http_answer(whole.substr(0, size), true).fault, HasSubstr("ended within"))
        << size;
  }
  EXPECT_FALSE(parse_http_answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true).body);
}

TEST(HttpAnswer, OtherThan200IsAFaultThatSaysWhereToGo) {
  EXPECT_THAT(parse_http_answer(
                  "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://h/metrics/\r\n\r\n", false)
                  .fault,
              AllOf(HasSubstr("answers 307"), HasSubstr("give http://h/metrics/ instead")));
  for (const char* text :
       {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const HttpPage page = parse_http_answer(text, true);
    EXPECT_FALSE(page.body) << text;
    EXPECT_FALSE(page.fault.empty()) << text;
  }
}

TEST(HttpUrl, IsTakenApart) {
  const HttpUrl plain = parse_http_url("http://localhost:8000/metrics?x=1");
  EXPECT_EQ(plain.host, "localhost");
  EXPECT_EQ(plain.port, "8000");
  EXPECT_EQ(plain.path, "/metrics?x=1");
  const HttpUrl ipv6 = parse_http_url("http://[::1]:9/");
  EXPECT_EQ(ipv6.host, "::1");
  EXPECT_EQ(ipv6.port, "9");
  EXPECT_EQ(parse_http_url("http://h").port, "80");
  EXPECT_EQ(parse_http_url("http://h").path, "/");
}

TEST(HttpUrl, OfAnotherKindIsRefused) {
  EXPECT_THAT([] { parse_http_url("https://h/"); },
              ThrowsMessage<UsageError>(HasSubstr("https is not spoken")));
  for (const char* text :
       {"", "localhost:8000", "http://", "http://:80/", "http://h:0/", "http://h:99999/",
        "http://h:x/", "http://u:p@h/", "http://h/a b", "http://h/\n"}) {
    EXPECT_THROW(parse_http_url(text), UsageError) << text;
  }
}

UnitsChoice tokens_at(const OnePageServer& server) {
  return {.name = "token",
          .url = parse_http_url(server.url()),
          .counter = parse_counter_selector("tokens_total")};
}

std::string answer(const std::string& body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

TEST(UnitMeter, CountsTheGrowthOfAServersCounter) {
  OnePageServer server({answer("tokens_total 100\n"),
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\ntokens_total "
                        "2600\r\n0\r\n\r\n"});
  UnitMeter units(tokens_at(server));
  EXPECT_THAT(units.begin(), IsEmpty());
  const auto count = units.end();
  ASSERT_TRUE(count);
  EXPECT_THAT(count->count, Optional(2500.0));
  EXPECT_THAT(count->basis, HasSubstr("tokens_total at http://127.0.0.1:"));
  EXPECT_THAT(server.requests().at(0),
              AllOf(HasSubstr("GET /metrics HTTP/1.1\r\n"), HasSubstr("Host: 127.0.0.1:")));
}

TEST(UnitMeter, ACounterThatFellIsARestartAndGivesNoCount) {
  OnePageServer server({answer("tokens_total 5000\n"), answer("tokens_total 20\n")});
  UnitMeter units(tokens_at(server));
  EXPECT_THAT(units.begin(), IsEmpty());
  const auto count = units.end();
  EXPECT_FALSE(count->count);
  EXPECT_THAT(count->absent_because, HasSubstr("fell from 5000 to 20"));
}

TEST(UnitMeter, ACounterThatDidNotMoveGivesNoCount) {
  OnePageServer server({answer("tokens_total 5\n"), answer("tokens_total 5\n")});
  UnitMeter units(tokens_at(server));
  EXPECT_THAT(units.begin(), IsEmpty());
  EXPECT_THAT(units.end()->absent_because, HasSubstr("stayed at 5"));
}

TEST(UnitMeter, AServerThatIsNotThereIsNamed) {
  std::string url;
  {
    const OnePageServer gone({});
    url = gone.url();
  }
  UnitMeter units({.url = parse_http_url(url), .counter = {.name = "x"}});
  EXPECT_THAT(units.begin(), AllOf(HasSubstr(url), HasSubstr("refused")));
  EXPECT_FALSE(units.end()->count);
}

TEST(HttpGet, AServerThatNeverAnswersIsNotWaitedForBeyondItsTime) {
  const OnePageServer silent({""});
  const HttpPage page = http_get(parse_http_url(silent.url()), Seconds(0.2));
  EXPECT_FALSE(page.body);
  EXPECT_THAT(page.fault, HasSubstr("no answer in time"));
}

TEST(HttpGet, AnAnswerWithoutEndIsCutOff) {
  const OnePageServer endless({OnePageServer::kEndless});
  const HttpPage page = http_get(parse_http_url(endless.url()), Seconds(30.0));
  EXPECT_THAT(page.fault, HasSubstr("larger than 16 MiB"));
}

TEST(HttpGet, AHeadWithoutEndIsCutOff) {
  for (const char* begin : {"HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\nX: "}) {
    const OnePageServer server({begin + std::string(std::size_t{4} << 20, 'x')});
    const HttpPage page = http_get(parse_http_url(server.url()), Seconds(30.0));
    EXPECT_FALSE(page.body);
    EXPECT_THAT(page.fault, AllOf(HasSubstr(server.url()), HasSubstr("is not HTTP/1")));
  }
}

TEST(HttpGet, APageThatComesByBytesIsNotWaitedForBeyondItsTime) {
  const OnePageServer server({OnePageServer::kDrips});
  const HttpPage page = http_get(parse_http_url(server.url()), Seconds(0.3));
  EXPECT_FALSE(page.body);
  EXPECT_THAT(page.fault, HasSubstr("no answer in time"));
}

}  // namespace
}  // namespace thermoe
