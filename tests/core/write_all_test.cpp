// SPDX-License-Identifier: Apache-2.0
#include "core/write_all.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>

namespace thermoe {
namespace {

/// Reads a pipe slowly to its end, sending the writer a signal each time.
std::string read_slowly(int fd, pthread_t writer) {
  std::string all;
  std::array<char, 4096> buffer;
  for (ssize_t count; (count = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    all.append(buffer.data(), static_cast<std::size_t>(count));
    ::pthread_kill(writer, SIGUSR1);
  }
  return all;
}

class WriteAll : public ::testing::TestWithParam<int> {};

TEST_P(WriteAll, ASlowReaderAndSignalsLoseNothing) {
  struct sigaction ignore {};  // no SA_RESTART: a signal ends the call
  ignore.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &ignore, nullptr);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::fcntl(ends[1], F_SETFL, GetParam());
  std::string sent;
  for (int i = 0; i < 300'000; ++i) sent += static_cast<char>('a' + i % 23);
  std::string received;
  std::thread reader([&, writer = ::pthread_self()] { received = read_slowly(ends[0], writer); });
  EXPECT_EQ(write_all(ends[1], sent), 0);
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  EXPECT_EQ(received, sent);
}

INSTANTIATE_TEST_SUITE_P(BlockingAndNot, WriteAll, ::testing::Values(0, O_NONBLOCK));

TEST(WriteAllErrors, AreGivenBack) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(write_all(full, "x"), ENOSPC);
  EXPECT_EQ(write_all(full, ""), 0);
  ::close(full);
  EXPECT_EQ(write_all(-1, "x"), EBADF);
}

}  // namespace
}  // namespace thermoe
