// SPDX-License-Identifier: Apache-2.0
// A run's tenant, played by shell scripts.
#include "machine/tenant/tenant_process.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bounded_wait.h"
#include "core/errors.h"

namespace thermoe {
namespace {

using testing::HasSubstr;

constexpr const char* kReady =
    R"(echo '{"ready":true,"duty":0.25,"added_w":116.5,"idle_w":120,"limit_w":700,"gpu":"G",)"
    R"("uuid":"GPU-1","processes":[{"pid":7,"name":"other","bytes":1024}]}')";

class Tenants : public testing::Test {
 protected:
  Tenants() { std::filesystem::create_directories(folder_); }
  ~Tenants() override { std::filesystem::remove_all(folder_); }

  /// A program of these lines.
  TenantProcessOptions playing(const std::string& lines) const {
    const std::string program = folder_ / "load";
    std::ofstream(program) << "#!/bin/sh\n" << lines << "\n";
    ::chmod(program.c_str(), 0755);
    return {.program = program, .power_fraction = 0.2, .patience = Seconds(60)};
  }
  /// What it wrote to a file of the folder.
  std::string file(const std::string& name) const {
    std::ostringstream content;
    content << std::ifstream(folder_ / name).rdbuf();
    return content.str();
  }
  std::string path(const std::string& name) const { return folder_ / name; }

  template <class ErrorType>
  std::string refusal(const TenantProcessOptions& options) const {
    try {
      TenantProcess tenant(options);
    } catch (const ErrorType& error) {
      return error.what();
    }
    return "no such error";
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("tenant_process." + std::to_string(::getpid()));
};

TEST_F(Tenants, IsReadyWithWhatItMeasuredAndHearsOnAndOff) {
  TenantProcess tenant(
      playing("echo $* > " + path("flags") + "\n" + kReady + "\ncat > " + path("heard")));
  EXPECT_EQ(tenant.added_power(), Watts(116.5));
  EXPECT_EQ(tenant.ready().duty, 0.25);
  EXPECT_EQ(tenant.ready().idle, Watts(120));
  EXPECT_EQ(tenant.ready().limit, Watts(700));
  EXPECT_EQ(tenant.ready().gpu, "G");
  ASSERT_TRUE(tenant.ready().processes.has_value());
  EXPECT_EQ(tenant.ready().processes->at(0).name, "other");
  EXPECT_EQ(tenant.ready().processes->at(0).bytes, 1024U);
  EXPECT_EQ(file("flags"), "load --power-fraction 0.2 --gpu 0 --commands\n");
  tenant.set_working(true);
  tenant.set_working(false);
  EXPECT_TRUE(comes_true([&] { return file("heard") == "on\noff\n"; })) << file("heard");
}

TEST_F(Tenants, EndsWithItsHandleByTheEndOfItsInput) {
  {
    const TenantProcess tenant(
        playing(std::string(kReady) + "\ncat\necho ended > " + path("ended")));
    EXPECT_EQ(file("ended"), "");
  }
  EXPECT_EQ(file("ended"), "ended\n") << "by itself, and waited for";
}

TEST_F(Tenants, OneThatDoesNotEndIsKilled) {
  pid_t pid = 0;
  {
    const TenantProcess tenant(
        playing("echo $$ > " + path("pid") + "\n" + kReady + "\ntrap '' TERM INT\nexec sleep 300"));
    pid = std::stoi(file("pid"));
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(Tenants, ARefusalIsTheUsersInTheTenantsOwnWords) {
  EXPECT_EQ(refusal<UsageError>(playing("echo 'thermoe: no GPU here; get one' >&2; exit 2")),
            "another tenant: no GPU here; get one");
}

TEST_F(Tenants, AFailureIsAnErrorWithItsLastWords) {
  const std::string said = refusal<Error>(playing("echo one >&2; echo two >&2; exit 1"));
  EXPECT_EQ(said, "another tenant ended before it was ready (exit code 1): two");
  EXPECT_EQ(refusal<Error>(playing("kill -9 $$")),
            "another tenant ended before it was ready (signal 9)");
  EXPECT_EQ(refusal<Error>(playing("exit 2")),
            "another tenant ended before it was ready (exit code 2)");
}

TEST_F(Tenants, OneThatIsNotThereIsAnError) {
  EXPECT_THAT(refusal<Error>({.program = path("none"), .power_fraction = 0.2}),
              HasSubstr("another tenant cannot be started: " + path("none") + ": no such command"));
}

TEST_F(Tenants, OneThatIsNotReadyInTimeIsAnErrorAndEnded) {
  TenantProcessOptions options = playing("exec sleep 300");
  options.patience = Seconds(0.2);
  EXPECT_EQ(refusal<Error>(options), "another tenant was not ready within 0.2 s");
}

TEST_F(Tenants, AnotherProgramsWordsAreRefused) {
  EXPECT_THAT(refusal<FormatError>(playing("echo hello; cat")),
              HasSubstr("the tenant's first line"));
  EXPECT_THAT(refusal<FormatError>(playing(R"(echo '{"ready":true,"duty":0.5}'; cat)")),
              HasSubstr("/added_w"));
}

TEST_F(Tenants, OneThatDiesLaterIsSaidWhenItIsToldToWork) {
  TenantProcess tenant(
      playing(std::string(kReady) + "\nread line\necho 'thermoe: the GPU is gone' >&2\nexit 1"));
  // The word that ends it may itself be answered by its end: it dies while we ask after it.
  std::string said;
  EXPECT_TRUE(comes_true([&] {
    try {
      tenant.set_working(true);
    } catch (const Error& error) {
      said = error.what();
    }
    return !said.empty();
  }));
  EXPECT_THAT(said, HasSubstr("another tenant cannot be told to work"));
  EXPECT_THAT(said, HasSubstr("the GPU is gone"));
}

TEST(TenantProtocol, ALineSaysWhatTheTenantIs) {
  const TenantReady ready{.duty = 0.2,
                          .gpu = "G",
                          .uuid = "GPU-1",
                          .added = Watts(10),
                          .idle = Watts(20),
                          .limit = Watts(30),
                          .processes = std::vector<GpuProcess>{{.pid = 3, .name = "x"}}};
  EXPECT_EQ(to_line(ready),
            R"({"ready":true,"duty":0.2,"added_w":10.0,"idle_w":20.0,"limit_w":30.0,"gpu":"G",)"
            R"("uuid":"GPU-1","processes":[{"name":"x","pid":3}]})");
  const TenantReady read = tenant_ready_from(to_line(ready));
  EXPECT_EQ(to_line(read), to_line(ready));
  EXPECT_FALSE(tenant_ready_from(to_line({.duty = 0.1})).processes.has_value());
  EXPECT_THROW(tenant_ready_from(R"({"ready":false})"), FormatError);
}

/// Gives these bytes as standard input, then its end.
std::vector<bool> obeyed(const std::string& bytes) {
  int ends[2];
  if (::pipe(ends) != 0) throw Error("no pipe");
  [[maybe_unused]] const auto written = ::write(ends[1], bytes.data(), bytes.size());
  ::close(ends[1]);
  std::vector<bool> told;
  try {
    obey_commands(
        ends[0], [&](bool working) { told.push_back(working); }, [] { return false; });
  } catch (...) {
    ::close(ends[0]);
    throw;
  }
  ::close(ends[0]);
  return told;
}

TEST(TenantProtocol, CommandsAreObeyedUntilTheEndOfTheInput) {
  EXPECT_EQ(obeyed("on\noff\non\n"), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(obeyed(""), std::vector<bool>{});
  EXPECT_EQ(obeyed("on\nof"), std::vector<bool>{true}) << "half a line is none";
}

TEST(TenantProtocol, WhatIsNoCommandIsRefused) {
  EXPECT_THROW(obeyed("On\n"), UsageError);
  EXPECT_THROW(obeyed(std::string(1000, 'x')), UsageError);
}

TEST(TenantProtocol, ATenantWhoseGpuIsGoneEndsWithoutACommand) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  obey_commands(
      ends[0], [](bool) {}, [] { return true; });
  EXPECT_THROW(obey_commands(
                   ends[0], [](bool) {}, []() -> bool { throw Error("gone"); }),
               Error);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace thermoe
