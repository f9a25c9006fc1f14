// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/tenant_protocol.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

using nlohmann::json;

constexpr const char* kWhose = "the tenant's first line";
constexpr int kGlanceMs = 50;
constexpr std::size_t kLongestLine = 64;

json processes_json(const std::optional<std::vector<GpuProcess>>& processes) {
  if (!processes) return nullptr;
  json list = json::array();
  for (const GpuProcess& p : *processes) {
    list.push_back({{"pid", p.pid}, {"name", p.name}});
    if (p.bytes) list.back()["bytes"] = *p.bytes;
  }
  return list;
}

std::vector<GpuProcess> processes_from(const json& list) {
  std::vector<GpuProcess> processes;
  for (const json& element : list) {
    JsonObject object(element, kWhose, "/processes");
    GpuProcess process{.pid = static_cast<unsigned>(object.integer("pid", 0, UINT32_MAX)),
                       .name = object.string("name")};
    if (object.given("bytes")) {
      process.bytes = static_cast<std::uint64_t>(object.integer("bytes", 0, INT64_MAX));
    }
    processes.push_back(std::move(process));
  }
  return processes;
}

std::optional<Watts> watts(JsonObject& object, const char* name) {
  const auto value = object.optional_number(name, -1e5, 1e5);
  return value ? std::optional(Watts(*value)) : std::nullopt;
}

void obey(std::string_view line, const std::function<void(bool)>& set_working) {
  if (line == kCommandOn) return set_working(true);
  if (line == kCommandOff) return set_working(false);
  throw UsageError(fmt::format("standard input: '{}' is no command; there are on and off",
                               printable(std::string(line), true)));
}

}  // namespace

std::string to_line(const TenantReady& ready) {
  nlohmann::ordered_json out = {{"ready", true}, {"duty", ready.duty}};
  if (ready.added) out["added_w"] = ready.added->value;
  if (ready.idle) out["idle_w"] = ready.idle->value;
  if (ready.limit) out["limit_w"] = ready.limit->value;
  out["gpu"] = ready.gpu;
  out["uuid"] = ready.uuid;
  out["processes"] = processes_json(ready.processes);
  return json_text(out);
}

TenantReady tenant_ready_from(std::string_view line) {
  const json parsed = parse_json(line, kWhose);
  JsonObject object(parsed, kWhose);
  if (!object.boolean_or("ready", false)) throw FormatError(kWhose, "/ready", "must be true");
  TenantReady ready{.duty = object.number("duty", 0.0, 1.0),
                    .gpu = object.string_or("gpu", ""),
                    .uuid = object.string_or("uuid", ""),
                    .added = watts(object, "added_w"),
                    .idle = watts(object, "idle_w"),
                    .limit = watts(object, "limit_w")};
  if (object.given("processes")) ready.processes = processes_from(object.array("processes"));
  return ready;
}

void obey_commands(int fd, const std::function<void(bool)>& set_working,
                   const std::function<bool()>& ended) {
  std::string text;
  while (!ended()) {
    pollfd input{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&input, 1, kGlanceMs) <= 0) continue;
    char bytes[256];
    const ssize_t count = ::read(fd, bytes, sizeof bytes);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return;
    text.append(bytes, static_cast<std::size_t>(count));
    for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      obey(std::string_view(text).substr(0, end), set_working);
      text.erase(0, end + 1);
    }
    if (text.size() > kLongestLine) obey(text, set_working);
  }
}

}  // namespace thermoe
