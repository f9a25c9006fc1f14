// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <streambuf>
#include <string>
#include <vector>

struct gzFile_s;

namespace thermoe {

/// The bytes of a file, unpacked where gzip packed it. Throws FormatError for a file that cannot be
/// read or whose packing is damaged or cut off, and where more than 64 MiB were read since the last
/// `mark()`: a value of that length, from a small file, would fill the memory.
class PackedStream final : public std::streambuf {
 public:
  explicit PackedStream(const std::string& path);
  ~PackedStream() override;
  PackedStream(const PackedStream&) = delete;
  PackedStream& operator=(const PackedStream&) = delete;

  void mark() { since_mark_ = 0; }

 private:
  int_type underflow() override;

  std::string path_;
  gzFile_s* file_ = nullptr;
  std::vector<char> buffer_;
  std::size_t since_mark_ = 0;
};

}  // namespace thermoe
