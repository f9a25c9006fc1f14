// SPDX-License-Identifier: Apache-2.0
#include "fuzz_input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "core/errors.h"

namespace thermoe {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "thermoe_fuzz_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

const std::string& fuzz_folder() {
  static const Folder folder;
  return folder.path();
}

std::string fuzz_file(std::string_view name, std::string_view bytes) {
  std::string path = fuzz_folder() + "/" + std::string(name);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) std::abort();
  const ssize_t written = ::write(file, bytes.data(), bytes.size());
  ::close(file);
  if (written != static_cast<ssize_t>(bytes.size())) std::abort();
  return path;
}

}  // namespace thermoe

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    thermoe::parse_input({reinterpret_cast<const char*>(data), size});
  } catch (const thermoe::UsageError& refusal) {
    static const bool say = std::getenv("THERMOE_FUZZ_SAY") != nullptr;
    if (say) std::fprintf(stderr, "refused: %s\n", refusal.what());
  }
  return 0;
}
