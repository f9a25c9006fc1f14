// SPDX-License-Identifier: Apache-2.0
#include "profile/under/run_under.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "core/command_process.h"
#include "core/errors.h"
#include "profile/parse_profiler_output.h"
#include "profile/parse_report.h"
#include "profile/under/tool_words.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

constexpr Seconds kLook{1.0};
constexpr Seconds kToEnd{60.0};  // after a signal: nsys writes its report then
constexpr Seconds kRecorderToEnd{5.0};
constexpr int kSignalled = 128;

/// A new file that a program writes to.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) {
      throw WriteError(fmt::format("{}: cannot be written: {}", path, std::strerror(errno)));
    }
  }
  ~OutputFile() { ::close(fd_); }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

/// nsys waits for ever where it cannot write.
void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK | X_OK) == 0) return;
  throw UsageError(fmt::format("the folder {}: cannot be written: {}", folder,
                               error ? error.message() : std::strerror(errno)));
}

/// One run of `run_under`.
class UnderRun {
 public:
  UnderRun(const UnderRequest& request, SignalQueue& signals, const Tell& tell, ToolPlan plan,
           std::string samples)
      : request_(request),
        signals_(signals),
        tell_(tell),
        plan_(std::move(plan)),
        samples_(std::move(samples)) {}

  UnderResult run() {
    profile();
    if (result_.exit_code == 0) convert();
    if (result_.exit_code == 0) read();
    list_files();
    return std::move(result_);
  }

 private:
  const char* tool() const { return facts_of(request_.profiler).program; }

  OutputListener listener() {
    return [this](std::size_t, std::string_view bytes) { words_.add(bytes); };
  }

  /// Waits for a process; after a signal not for ever. Returns its exit code.
  int end_of(CommandProcess& process) {
    if (!process.fault().empty()) throw UsageError(process.fault());
    for (Seconds since{0.0}; !process.wait(kLook);) {
      if (process.interrupted()) since += kLook;
      if (since < kToEnd) continue;
      tell_(fmt::format("{} does not end and is killed", tool()));
      interrupted_ = process.interrupted();
      return kSignalled + *interrupted_;
    }
    interrupted_ = process.interrupted();
    return process.exit_code();
  }

  void profile() {
    int code = 0;
    {
      const Recorder recorder(request_.recorder, samples_, signals_);
      CommandProcess process(plan_.profile.words, signals_, listener());
      code = end_of(process);
    }
    if (interrupted_) {
      result_.exit_code = kSignalled + *interrupted_;
      tell_("ended by a signal; what was recorded stays");
      return;
    }
    if (const auto fault = fault_in(words_, request_.profiler)) throw_fault(*fault);
    // ncu's own exit code need not be the child's; it says that one.
    const auto said = words_.number_after("The application returned an error code");
    if (!said && !fs::exists(plan_.report)) no_report(code);
    result_.exit_code = said.value_or(code);
    if (result_.exit_code == 0) return;
    tell_(
        fmt::format("the profiled command ended with exit code {}; what was recorded until then "
                    "stays",
                    result_.exit_code));
  }

  [[noreturn]] static void throw_fault(const ToolFault& fault) {
    if (fault.mendable) throw UsageError(fault.text);
    throw Error(fault.text);
  }

  [[noreturn]] void no_report(int code) {
    throw_if_disk_is_full(plan_.report);
    const std::string raw = fs::path(plan_.report).replace_extension(".qdstrm").string();
    if (request_.profiler == Profiler::kNsys && fs::exists(raw)) {
      throw UsageError(fmt::format(
          "{} left {} and could not make a report of it: its importer is missing, as in the copies "
          "within other packages, or fails; name a whole nsys with --nsys-path, or {}",
          plan_.profile.words.front(), raw, in_one_line(facts_of(request_.profiler).remedy)));
    }
    if (words_.contain("No kernels were profiled")) no_kernels();
    throw Error(fmt::format("{} ended with exit code {} and left no {}; its last words: {}", tool(),
                            code, plan_.report, words_.last_line()));
  }

  [[noreturn]] static void no_kernels() {
    throw Error(fmt::format(
        "ncu saw no kernel within an NVTX range of the domain {}: did the command use the GPU "
        "(thermoe doctor), and was anything left to measure?",
        kOwnDomain));
  }

  void throw_if_disk_is_full(const std::string& path) const {
    if (!tell_full_disk(words_)) return;
    throw WriteError(
        fmt::format("{}: no space left, there or where TMPDIR points; free some, or "
                    "name other places",
                    path));
  }

  void convert() {
    for (std::size_t i = 0; i < plan_.conversions.size() && !interrupted_; ++i) {
      words_ = {};
      const ToolStep& step = plan_.conversions[i];
      std::optional<OutputFile> into;
      if (!step.into.empty()) into.emplace(step.into);
      CommandProcess process(step.words, signals_, listener(), into ? into->fd() : -1);
      const int code = end_of(process);
      if (interrupted_) break;
      // nsys ends with 0 and an empty file on a full disk.
      throw_if_disk_is_full(plan_.converted[i]);
      std::error_code none;
      const auto size = fs::file_size(plan_.converted[i], none);
      if (code == 0 && !none && size > 0) continue;
      throw Error(fmt::format("{} could not convert {} (exit code {}): {}", tool(), plan_.report,
                              code, words_.last_line()));
    }
    if (interrupted_) result_.exit_code = kSignalled + *interrupted_;
  }

  void read() {
    ParseOptions options{.executions = request_.cost_model.has_value()};
    if (has_rows(samples_)) options.samples = samples_;
    result_.profile = parse_profiler_output(plan_.converted.front(), options);
    const ParsedProfile& profile = *result_.profile;
    const bool own = std::ranges::any_of(
        profile.ranges, [](const RangeRecord& range) { return range.domain == kOwnDomain; });
    if (!own) {
      throw Error(fmt::format(
          "{}: has no NVTX range of the domain {}, so no kernel has an op: nothing was left to "
          "measure, or the command was built without CUDA and has none, or {} did not reach it "
          "(another tool in NVTX_INJECTION64_PATH, a sandbox)",
          profile.file, kOwnDomain, tool()));
    }
    if (profile.kernels.empty()) {
      tell_(
          fmt::format("{} recorded ranges and no kernel: without a GPU there is none; with one, "
                      "this version does not trace this driver",
                      tool()));
    }
    write_json_file(profile, records_);
    if (request_.cost_model) result_.merged = merge_costs(profile, *request_.cost_model);
  }

  /// More than the names of its columns.
  static bool has_rows(const std::string& path) {
    std::ifstream in(path);
    std::string line;
    return std::getline(in, line) && std::getline(in, line) && !line.empty();
  }

  void list_files() {
    for (const auto& paths :
         {std::vector{plan_.report}, plan_.converted, std::vector{samples_, records_}}) {
      for (const std::string& path : paths) {
        std::error_code none;
        if (!path.empty() && fs::file_size(path, none) > 0 && !none) result_.files.push_back(path);
      }
    }
  }

  /// Records power and temperature as long as it lives.
  class Recorder {
   public:
    Recorder(const std::vector<std::string>& command, const std::string& path,
             SignalQueue& signals) {
      if (command.empty()) return;
      file_.emplace(path);
      process_.emplace(command, signals, OutputListener(), file_->fd());
    }
    ~Recorder() {
      if (!process_) return;
      process_->ask_to_end();
      process_->wait(kRecorderToEnd);
    }
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

   private:
    std::optional<OutputFile> file_{};
    std::optional<CommandProcess> process_{};
  };

  const UnderRequest& request_;
  SignalQueue& signals_;
  const Tell& tell_;
  const ToolPlan plan_;
  const std::string samples_;
  const std::string records_ = fs::path(plan_.report).replace_extension(".json").string();
  ToolWords words_{};
  std::optional<int> interrupted_{};
  UnderResult result_{};
};

}  // namespace

UnderResult run_under(const UnderRequest& request, const ProgramPlaces& places,
                      SignalQueue& signals, const Tell& tell) {
  ToolPlan plan = plan_under(request, places, tell);
  make_folder(request.folder);
  UnderRequest used = request;
  if (request.profiler == Profiler::kNcu) used.recorder.clear();
  const std::string samples =
      used.recorder.empty() ? "" : fs::path(plan.report).replace_extension(".samples.csv").string();
  return UnderRun(used, signals, tell, std::move(plan), samples).run();
}

}  // namespace thermoe
