// SPDX-License-Identifier: Apache-2.0
#include "moe/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/half_float.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Safetensors : public ::testing::Test {
 protected:
  /// A file with this header text and this many bytes of data.
  void write_raw(const std::string& header, std::size_t data_bytes) const {
    std::string content(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(content.data(), &length, sizeof length);
    write_file_atomically(path_, content + header + std::string(data_bytes, '\1'));
  }
  /// The message with which the file is refused; fails the test when it is accepted.
  std::string refusal() const {
    try {
      SafetensorsFile::open(path_);
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_));
      return error.what();
    }
    ADD_FAILURE() << "the file was accepted";
    return "";
  }

  TemporaryFolder folder_{};
  std::string path_ = folder_.file("model.safetensors");
};

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

TEST_F(Safetensors, WhatIsWrittenReadsBack) {
  const std::vector<float> weights = {1.5F, -2.0F, 0.0F, 3.25F, 1e-30F, -1e30F};
  const std::vector<std::int8_t> signed_bytes = {-128, 0, 127};
  const std::vector<std::int32_t> whole = {-1, 1 << 30};
  const std::vector<TensorView> tensors = {
      {.name = "bytes", .dtype = "I8", .shape = {3}, .data = bytes_of(signed_bytes)},
      {.name = "weights", .dtype = "F32", .shape = {2, 3}, .data = bytes_of(weights)},
      {.name = "whole", .dtype = "I32", .shape = {2, 1}, .data = bytes_of(whole)},
      {.name = "nothing", .dtype = "F32", .shape = {0, 7}, .data = {}}};
  write_safetensors(path_, tensors, {{"config", "{\"a\": 1}"}, {"note", "é"}});

  const auto file = SafetensorsFile::open(path_);
  EXPECT_EQ(file.floats("weights", {2, 3}), weights);
  EXPECT_EQ(file.metadata("config"), "{\"a\": 1}");
  EXPECT_EQ(file.metadata("note"), "é");
  EXPECT_EQ(file.tensors().size(), 4U);
  EXPECT_TRUE(file.floats("nothing", {0, 7}).empty());
  EXPECT_EQ(std::memcmp(file.tensor("whole").data.data(), whole.data(), 8), 0);
  EXPECT_THAT(file.tensor("bytes").shape, ElementsAre(3));
  EXPECT_EQ(std::memcmp(file.tensor("bytes").data.data(), signed_bytes.data(), 3), 0);
}

TEST_F(Safetensors, HalfFloatsWidenExactly) {
  const std::vector<std::uint16_t> bf16 = {0x3F80, 0xC040, 0x0000, 0x0001};
  const std::vector<std::uint16_t> f16 = {0x3C00, 0xC200, 0x7BFF, 0x0001, 0x8000};
  write_safetensors(path_, std::vector<TensorView>{
                               {.name = "b", .dtype = "BF16", .shape = {4}, .data = bytes_of(bf16)},
                               {.name = "h", .dtype = "F16", .shape = {5}, .data = bytes_of(f16)}});
  const auto file = SafetensorsFile::open(path_);
  EXPECT_THAT(file.floats("b", {4}), ElementsAre(1.0F, -3.0F, 0.0F, std::ldexp(1.0F, -133)));
  EXPECT_THAT(file.floats("h", {5}),
              ElementsAre(1.0F, -3.0F, 65504.0F, std::ldexp(1.0F, -24), 0.0F));
  EXPECT_TRUE(std::signbit(f16_to_float(0x8000)));
  EXPECT_TRUE(std::isinf(f16_to_float(0x7C00)));
  EXPECT_TRUE(std::isnan(f16_to_float(0x7E00)));
}

TEST_F(Safetensors, WrongShapeDtypeNameOrValueIsRefusedByTensor) {
  const std::vector<float> values = {1.0F, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<std::int32_t> whole = {1};
  write_safetensors(path_,
                    std::vector<TensorView>{
                        {.name = "w", .dtype = "F32", .shape = {2}, .data = bytes_of(values)},
                        {.name = "i", .dtype = "I32", .shape = {1}, .data = bytes_of(whole)}});
  const auto file = SafetensorsFile::open(path_);
  const auto message = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    try {
      file.floats(name, shape);
    } catch (const FormatError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message("w", {2, 1}), AllOf(HasSubstr("w: "), HasSubstr("[2]"), HasSubstr("[2, 1]")));
  EXPECT_THAT(message("w", {2}), AllOf(HasSubstr("w: element 1"), HasSubstr("finite")));
  EXPECT_THAT(message("i", {1}), AllOf(HasSubstr("i: "), HasSubstr("expected F32")));
  EXPECT_THAT(message("absent", {1}), HasSubstr("absent: the file has no such tensor"));
  EXPECT_THROW(file.metadata("config"), FormatError);
}

TEST_F(Safetensors, HostileHeadersAreRefusedByName) {
  struct Case {
    std::string header;
    std::size_t data;
    std::string says;
  };
  const std::vector<Case> cases = {
      {R"([1])", 0, "must be a JSON object"},
      {R"({"a":)", 0, "not valid JSON"},
      {R"({"a":3})", 0, "a: must be an object"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "a: has no data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
       "a: unknown field \"x\""},
      {R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,8]}})", 4, "outside the 4 bytes"},
      {R"({"a":{"dtype":"I64","shape":[2],"data_offsets":[0,8]}})", 8, "I64 of shape [2] needs 16"},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4, "a: dtype must be a string"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "a: shape must hold whole"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4,
       "a: shape must hold whole"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4,
       "a: shape must hold whole"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0,
       "a: shape [4611686018427387904, 4] overflows"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
       "a: shape has 9 dimensions"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
       "a: data_offsets [0, 4] span 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 4, "outside the 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "outside the 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4, "two whole numbers"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8, "4 bytes follow the last"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
           "b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "neither overlap"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
           "b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
       12, "neither overlap"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},
           "a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
       0, "stands twice"},
      {R"({"__metadata__":{"a":1}})", 0, "__metadata__/a: must be a string"},
      {R"({"__metadata__":[]})", 0, "__metadata__: must be an object"},
      {std::string(200'000, '['), 0, "nested deeper"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.header.substr(0, 100));
    write_raw(c.header, c.data);
    EXPECT_THAT(refusal(), HasSubstr(c.says));
  }
}

TEST_F(Safetensors, ImpossibleHeaderLengthsAreRefused) {
  write_file_atomically(path_, "1234567");
  EXPECT_THAT(refusal(), HasSubstr("has 7 bytes"));
  write_file_atomically(path_, std::string(8, '\xFF') + "{}");
  EXPECT_THAT(refusal(), HasSubstr("the limit is 16777216"));
  write_file_atomically(path_, std::string("\x03\0\0\0\0\0\0\0{}", 10));
  EXPECT_THAT(refusal(), HasSubstr("header of 3 bytes but has 2"));
}

TEST_F(Safetensors, MissingFilesAndFoldersAreRefused) {
  EXPECT_THAT(refusal(), HasSubstr("No such file"));
  std::filesystem::create_directories(path_);
  EXPECT_THAT(refusal(), HasSubstr("is not a regular file"));
}

TEST_F(Safetensors, OnlyATensorThatIsReadNeedsAKnownDtype) {
  write_raw(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                "ids":{"dtype":"I64","shape":[1],"data_offsets":[4,12]},
                "mask":{"dtype":"BOOL","shape":[3],"data_offsets":[12,15]},
                "f8":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[15,17]},
                "f4":{"dtype":"F4","shape":[4],"data_offsets":[17,19]}})",
            19);
  const auto file = SafetensorsFile::open(path_);
  EXPECT_EQ(file.tensors().size(), 5U);
  EXPECT_EQ(file.floats("w", {1}).size(), 1U);
  EXPECT_EQ(file.tensor("f4").data.size(), 2U);
  for (const char* name : {"ids", "f4"}) {
    SCOPED_TRACE(name);
    try {
      file.floats(name, file.tensor(name).shape);
      ADD_FAILURE() << "was read";
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr(name), HasSubstr("expected F32, BF16, F16 or F64")));
    }
  }
}

TEST_F(Safetensors, DoublesAreReadToTheNearestFloat) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> wide = {1.1, -2.5, 1e300, -1e300, -infinity};
  write_safetensors(
      path_,
      std::vector<TensorView>{{.name = "d", .dtype = "F64", .shape = {5}, .data = bytes_of(wide)}});
  const auto file = SafetensorsFile::open(path_);
  const float most = std::numeric_limits<float>::infinity();
  EXPECT_THAT(file.values("d", {5}), ElementsAre(1.1F, -2.5F, most, -most, -most));
  EXPECT_THROW(file.floats("d", {5}), FormatError) << "weights are finite";
}

/// Parses and reads every byte that is handed out: nothing else may happen than a FormatError.
void parse_and_touch(const std::string& content) {
  const auto bytes = std::as_bytes(std::span(content));
  try {
    const auto file = SafetensorsFile::parse({bytes.begin(), bytes.end()}, "damaged");
    volatile unsigned sum = 0;
    for (const TensorView& t : file.tensors()) {
      for (const std::byte b : t.data) sum = sum + std::to_integer<unsigned>(b);
      if (t.dtype == "F32" || t.dtype == "F64") file.floats(t.name, t.shape);
    }
  } catch (const FormatError&) {
    return;
  }
}

TEST_F(Safetensors, NoTruncationOrByteFlipDoesMoreThanRefuse) {
  const std::vector<float> weights(6, 1.0F);
  const std::vector<std::int8_t> small = {1, 2, 3};
  write_safetensors(path_,
                    std::vector<TensorView>{
                        {.name = "w", .dtype = "F32", .shape = {2, 3}, .data = bytes_of(weights)},
                        {.name = "s", .dtype = "I8", .shape = {3}, .data = bytes_of(small)}},
                    {{"note", "x"}});
  std::ifstream in(path_, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});

  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto cut = std::as_bytes(std::span(whole).first(n));
    EXPECT_THROW(SafetensorsFile::parse({cut.begin(), cut.end()}, "cut"), FormatError) << n;
  }
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = whole;
    for (int flips = 1 + round % 3; flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    }
    parse_and_touch(damaged);
  }
}

TEST_F(Safetensors, TheWriterRefusesWhatTheReaderWould) {
  const std::vector<float> weights(6, 1.0F);
  const TensorView good = {.name = "w", .dtype = "F32", .shape = {6}, .data = bytes_of(weights)};
  TensorView wrong_size = good;
  wrong_size.shape = {5};
  TensorView wrong_dtype = good;
  wrong_dtype.dtype = "F64";
  EXPECT_THROW(write_safetensors(path_, std::vector{wrong_size}), PreconditionError);
  EXPECT_THROW(write_safetensors(path_, std::vector{wrong_dtype}), PreconditionError);
  EXPECT_THROW(write_safetensors(path_, std::vector{good, good}), PreconditionError);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace thermoe
