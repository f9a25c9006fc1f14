// SPDX-License-Identifier: Apache-2.0
#include "profile/packed_stream.h"

#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "core/errors.h"
#include "core/read_block.h"

namespace thermoe {
namespace {

constexpr std::size_t kLongestValue = std::size_t{64} << 20;

}  // namespace

PackedStream::PackedStream(const std::string& path)
    : path_(path), file_(::gzopen(path.c_str(), "rb")), buffer_(kReadBlock) {
  if (file_ == nullptr) {
    throw FormatError(path, "", fmt::format("cannot be read: {}", std::strerror(errno)));
  }
  ::gzbuffer(file_, kReadBlock);
}

PackedStream::~PackedStream() { ::gzclose(file_); }

PackedStream::int_type PackedStream::underflow() {
  const int read = ::gzread(file_, buffer_.data(), static_cast<unsigned>(buffer_.size()));
  int error = Z_OK;
  const char* message = ::gzerror(file_, &error);
  if (read < 0 || (error != Z_OK && error != Z_STREAM_END)) {
    const bool cut = error == Z_BUF_ERROR;
    throw FormatError(path_, "",
                      fmt::format("cannot be unpacked: {}; copy it again, or record it again",
                                  cut ? "it is cut off" : message));
  }
  if (read == 0) return traits_type::eof();
  since_mark_ += static_cast<std::size_t>(read);
  if (since_mark_ > kLongestValue) {
    throw FormatError(path_, "",
                      fmt::format("holds a value of more than {} MiB", kLongestValue >> 20U));
  }
  setg(buffer_.data(), buffer_.data(), buffer_.data() + read);
  return traits_type::to_int_type(buffer_[0]);
}

}  // namespace thermoe
