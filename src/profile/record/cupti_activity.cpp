// SPDX-License-Identifier: Apache-2.0
#include "profile/record/cupti_activity.h"

#include <cupti.h>
#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <mutex>
#include <unordered_map>

namespace thermoe {
namespace {

constexpr CUpti_ExternalCorrelationKind kOurs = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
/// Launches are known by the host's calls, so those are recorded too.
constexpr CUpti_ActivityKind kKinds[] = {CUPTI_ACTIVITY_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_DRIVER,
                                         CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
                                         CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL};
constexpr std::size_t kBufferBytes = std::size_t{4} << 20;

/// CUPTI hands its records to functions that it knows by address alone, on threads of its own.
struct Sink {
  std::mutex mutex{};
  decltype(&cuptiActivityGetNextRecord) next = nullptr;
  std::vector<CuptiKernel> kernels{};  // `execution` is still the launch's correlation id
  std::unordered_map<std::uint32_t, std::uint64_t> executions{};  // by correlation id
};
Sink& sink() {
  static Sink sink;
  return sink;
}

std::string demangled(const char* name) {
  if (name == nullptr) return "";
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : name;
}

void note(const CUpti_Activity* record) {
  if (record->kind == CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION) {
    const auto* link = reinterpret_cast<const CUpti_ActivityExternalCorrelation*>(record);
    sink().executions[link->correlationId] = link->externalId;
  } else if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    // What is read here lies at the same place in every version of the record since the seventh.
    const auto* k = reinterpret_cast<const CUpti_ActivityKernel9*>(record);
    sink().kernels.push_back({.execution = k->correlationId,
                              .name = demangled(k->name),
                              .start_ns = static_cast<std::int64_t>(k->start),
                              .end_ns = static_cast<std::int64_t>(k->end),
                              .grid = {k->gridX, k->gridY, k->gridZ},
                              .block = {k->blockX, k->blockY, k->blockZ},
                              .registers = k->registersPerThread});
  }
}

void CUPTIAPI request_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *size = kBufferBytes;
  *most_records = 0;  // as many as fit
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(8, kBufferBytes));
}

void CUPTIAPI take_buffer(CUcontext /*context*/, std::uint32_t /*stream*/, std::uint8_t* buffer,
                          std::size_t /*size*/, std::size_t valid) {
  {
    const std::lock_guard lock(sink().mutex);
    CUpti_Activity* record = nullptr;
    while (valid > 0 && sink().next(buffer, valid, &record) == CUPTI_SUCCESS) note(record);
  }
  std::free(buffer);
}

std::vector<std::string> library_names() {
  std::vector<std::string> names;
  for (const char* folder : {"", "/usr/local/cuda/lib64/", "/usr/local/cuda/extras/CUPTI/lib64/",
                             "/usr/local/cuda/lib/", "/usr/local/cuda/targets/x86_64-linux/lib/"}) {
    for (const char* name : {"libcupti.so.13", "libcupti.so.12", "libcupti.so"}) {
      names.push_back(fmt::format("{}{}", folder, name));
    }
  }
  return names;
}

/// `reason`: why the first of the names cannot be loaded.
void* open_library(const std::vector<std::string>& names, std::string& reason) {
  for (const std::string& name : names) {
    // It registers itself with the driver: it is not made to be unloaded.
    void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle != nullptr) return handle;
    const char* error = ::dlerror();
    if (reason.empty() && error != nullptr) reason = error;
  }
  return nullptr;
}

}  // namespace

struct CuptiActivity::Api {
  decltype(&cuptiActivityRegisterCallbacks) register_callbacks = nullptr;
  decltype(&cuptiActivityEnable) enable = nullptr;
  decltype(&cuptiActivityDisable) disable = nullptr;
  decltype(&cuptiActivityFlushAll) flush = nullptr;
  decltype(&cuptiActivityPushExternalCorrelationId) push = nullptr;
  decltype(&cuptiActivityPopExternalCorrelationId) pop = nullptr;
  decltype(&cuptiActivityGetNextRecord) next = nullptr;
  decltype(&cuptiGetResultString) words = nullptr;

  /// The first function that the library lacks; empty if it has all.
  std::string load(void* library) {
    std::string missing;
    const auto find = [&](const char* name, auto& function) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
      if (function == nullptr && missing.empty()) missing = name;
    };
    find("cuptiActivityRegisterCallbacks", register_callbacks);
    find("cuptiActivityEnable", enable);
    find("cuptiActivityDisable", disable);
    find("cuptiActivityFlushAll", flush);
    find("cuptiActivityPushExternalCorrelationId", push);
    find("cuptiActivityPopExternalCorrelationId", pop);
    find("cuptiActivityGetNextRecord", next);
    find("cuptiGetResultString", words);
    return missing;
  }
};

CuptiActivity::CuptiActivity(const std::string& library) : api_(std::make_unique<Api>()) {
  std::string reason;
  void* handle = open_library(library.empty() ? library_names() : std::vector{library}, reason);
  if (handle == nullptr) {
    problem_ = fmt::format(
        "CUPTI cannot be loaded ({}); it comes with the CUDA toolkit: name its libcupti.so with "
        "--cupti",
        reason);
    return;
  }
  if (const std::string missing = api_->load(handle); !missing.empty()) {
    problem_ = fmt::format("CUPTI lacks {}; install that of CUDA 12 or 13", missing);
    return;
  }
  sink().next = api_->next;
  CUptiResult result = api_->register_callbacks(request_buffer, take_buffer);
  for (const CUpti_ActivityKind kind : kKinds) {
    if (result == CUPTI_SUCCESS) result = api_->enable(kind);
  }
  if (result == CUPTI_SUCCESS) return;
  const char* words = nullptr;
  api_->words(result, &words);
  problem_ = fmt::format(
      "CUPTI does not record here ({}): another profiler has the process, or the driver forbids it",
      words != nullptr ? words : "unknown error");
}

CuptiActivity::~CuptiActivity() {
  if (problem_) return;
  for (const CUpti_ActivityKind kind : kKinds) api_->disable(kind);
}

void CuptiActivity::begin_execution(std::uint64_t execution) { api_->push(kOurs, execution); }

void CuptiActivity::end_execution() {
  std::uint64_t last = 0;
  api_->pop(kOurs, &last);
}

std::vector<CuptiKernel> CuptiActivity::take() {
  api_->flush(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  const std::lock_guard lock(sink().mutex);
  std::vector<CuptiKernel> kernels;
  for (CuptiKernel& kernel : sink().kernels) {
    const auto execution = sink().executions.find(static_cast<std::uint32_t>(kernel.execution));
    if (execution == sink().executions.end()) continue;  // launched outside of all executions
    kernel.execution = execution->second;
    kernels.push_back(std::move(kernel));
  }
  sink().kernels.clear();
  sink().executions.clear();
  return kernels;
}

}  // namespace thermoe
