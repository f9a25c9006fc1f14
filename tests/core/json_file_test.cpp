// SPDX-License-Identifier: Apache-2.0
#include "core/json_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/errors.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <class F>
std::string message_of(F&& act) {
  try {
    act();
  } catch (const FormatError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Json, MalformedTextNamesTheFileAndThePlace) {
  EXPECT_THAT(message_of([] { parse_json("{\"a\": }", "x.json"); }),
              AllOf(HasSubstr("x.json"), HasSubstr("line 1, column 7")));
  EXPECT_THAT(message_of([] { parse_json("{\"a\": 1", "x.json"); }), HasSubstr("x.json"));
  EXPECT_THAT(message_of([] { parse_json("{\"a\": NaN}", "x.json"); }), HasSubstr("x.json"));
  EXPECT_THAT(message_of([] { parse_json("", "x.json"); }), HasSubstr("x.json"));
}

TEST(Json, NestingTwoHundredThousandDeepIsRefused) {
  const std::string arrays(200'000, '[');
  EXPECT_THAT(message_of([&] { parse_json(arrays, "deep.json"); }),
              HasSubstr("nested deeper than 64"));
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(message_of([&] { parse_json(objects, "deep.json"); }),
              HasSubstr("nested deeper than 64"));
}

TEST(Json, AKeyMayStandOnlyOnceInAnObject) {
  EXPECT_THAT(message_of([] { parse_json(R"({"a": {"b": 1, "b": 2}})", "x.json"); }),
              AllOf(HasSubstr("b"), HasSubstr("twice")));
  EXPECT_NO_THROW(parse_json(R"({"a": {"b": 1}, "c": {"b": 2}})", "x.json"));
}

TEST(Json, AMissingFileIsNamed) {
  EXPECT_THAT(message_of([] { read_json_file("/nowhere/at-all.json"); }),
              HasSubstr("/nowhere/at-all.json"));
}

TEST(JsonObject, ErrorsNameTheKeyTheValueAndTheRange) {
  const auto json = parse_json(R"({"target": {"power_w": -3, "name": 4}})", "x.json");
  JsonObject object(json, "x.json");
  JsonObject target = object.object("target");
  EXPECT_THAT(message_of([&] { target.number("power_w", 0, 1000); }),
              AllOf(HasSubstr("/target/power_w"), HasSubstr("-3"), HasSubstr("[0, 1000]")));
  EXPECT_THAT(message_of([&] { target.string("name"); }), HasSubstr("must be a string"));
  EXPECT_THAT(message_of([&] { target.number("absent", 0, 1); }), HasSubstr("is missing"));
  EXPECT_THAT(message_of([&] { target.integer("power_w", 0, 9); }), HasSubstr("whole number"));
}

TEST(JsonObject, NullIsNotMissing) {
  const auto json = parse_json(R"({"targets": null, "k": null})", "x.json");
  JsonObject object(json, "x.json");
  EXPECT_THAT(message_of([&] { object.object("targets"); }), HasSubstr("/targets: is null"));
  EXPECT_THAT(message_of([&] { object.integer("k", 0, 1); }), HasSubstr("/k: is null"));
  EXPECT_THAT(message_of([&] { object.integer("absent", 0, 1); }), HasSubstr("is missing"));
  EXPECT_EQ(object.integer_or("k", 7, 0, 9), 7) << "an optional field may be null";
}

TEST(Json, BytesThatAreNoUtf8AreReplacedWhereJsonIsWritten) {
  const nlohmann::json json = {{"file", "caf\xe9.json"}, {"k\xff", 1}};
  const std::string text = json_text(json);
  EXPECT_EQ(text, "{\"file\":\"caf\xEF\xBF\xBD.json\",\"k\xEF\xBF\xBD\":1}");
  EXPECT_EQ(parse_json(text, "x")["file"], "caf\xEF\xBF\xBD.json");
  EXPECT_EQ(json_text(nlohmann::json{{"a", {1}}}, 2), "{\n  \"a\": [\n    1\n  ]\n}");
  EXPECT_EQ(json_text(nlohmann::ordered_json{{"b", "\xe9"}, {"a", 1}}),
            "{\"b\":\"\xEF\xBF\xBD\",\"a\":1}");
}

TEST(JsonObject, AnUnknownFieldNamesTheNearestKnownOne) {
  const auto json = parse_json(R"({"duration": 5})", "x.json");
  JsonObject object(json, "x.json");
  object.number_or("duration_s", 1.0, 0.0, 10.0);
  object.string_or("model", "");
  EXPECT_THAT(message_of([&] { object.finish(); }),
              AllOf(HasSubstr("/duration"), HasSubstr("did you mean \"duration_s\"?")));
}

TEST(JsonObject, KnownFieldsPass) {
  const auto json = parse_json(R"({"a": 1, "b": null, "note": "x", "c": true})", "x.json");
  JsonObject object(json, "x.json");
  EXPECT_EQ(object.integer("a", 0, 9), 1);
  EXPECT_EQ(object.optional_number("b", 0, 1), std::nullopt);
  EXPECT_TRUE(object.boolean_or("c", false));
  EXPECT_FALSE(object.boolean_or("d", false));
  object.ignore("note");
  EXPECT_NO_THROW(object.finish());
}

TEST(JsonObject, AWrongChoiceListsThoseThereAre) {
  const auto json = parse_json(R"({"s": "BASELIN"})", "x.json");
  JsonObject object(json, "x.json");
  EXPECT_THAT(
      message_of([&] {
        object.choice("s", {"BASELINE", "REDUCED_K"});
      }),
      AllOf(HasSubstr("BASELIN"), HasSubstr("REDUCED_K"), HasSubstr("did you mean \"BASELINE\"?")));
}

}  // namespace
}  // namespace thermoe
