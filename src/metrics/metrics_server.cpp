// SPDX-License-Identifier: Apache-2.0
#include "metrics/metrics_server.h"

#include <fmt/format.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <exception>
#include <list>
#include <string_view>
#include <utility>

#include "core/errors.h"
#include "metrics/exposition.h"

namespace thermoe {
namespace {

using Time = std::chrono::steady_clock;

constexpr std::size_t kConnectionMemory = 16384;  // the longest request, and the answer's head
constexpr std::string_view kPath = "/metrics";
constexpr std::string_view kMethods = "GET, HEAD";

struct Answer {
  unsigned status = MHD_HTTP_OK;
  std::string_view type = "text/plain; charset=utf-8";
  std::string body{};
};

Answer answer_to(std::string_view method, std::string_view path, std::string_view accept,
                 const MetricsServer::Collect& collect) {
  if (path != kPath) {
    return {.status = MHD_HTTP_NOT_FOUND, .body = fmt::format("not here; GET {}\n", kPath)};
  }
  if (method != "GET" && method != "HEAD") {
    return {.status = MHD_HTTP_METHOD_NOT_ALLOWED, .body = fmt::format("only {}\n", kMethods)};
  }
  try {
    const ExpositionFormat format = accepted_format(accept);
    return {.type = content_type(format), .body = exposition(collect(), format)};
  } catch (const std::exception& error) {  // the library that calls is in C
    return {.status = MHD_HTTP_INTERNAL_SERVER_ERROR, .body = fmt::format("{}\n", error.what())};
  }
}

MHD_Result send(MHD_Connection* connection, const Answer& answer) {
  MHD_Response* response = MHD_create_response_from_buffer(
      answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;  // no memory: the connection is closed
  MHD_add_response_header(response, "Content-Type", std::string(answer.type).c_str());
  MHD_add_response_header(response, "Connection", "close");
  if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) {
    MHD_add_response_header(response, "Allow", std::string(kMethods).c_str());
  }
  const MHD_Result queued = MHD_queue_response(connection, answer.status, response);
  MHD_destroy_response(response);
  return queued;
}

}  // namespace

/// libmicrohttpd's daemon without threads of its own: it does what there is to do when it is asked
/// to. All but the constructor and `stop` is the server thread's.
class MetricsServer::Daemon {
 public:
  Daemon(int listener, Collect collect, MetricsServerLimits limits)
      : collect_(std::move(collect)),
        limits_(limits),
        longest_(std::chrono::duration_cast<Time::duration>(
            std::chrono::duration<double>(limits.time.value))),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        daemon_(MHD_start_daemon(MHD_USE_EPOLL, 0, nullptr, nullptr, &Daemon::handle, this,
                                 MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT,
                                 limits.connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 kConnectionMemory, MHD_OPTION_NOTIFY_CONNECTION, &Daemon::notify,
                                 this, MHD_OPTION_END)) {
    if (daemon_ != nullptr && wake_ >= 0) return;
    if (daemon_ != nullptr) {
      MHD_stop_daemon(daemon_);
    } else {
      ::close(listener);
    }
    if (wake_ >= 0) ::close(wake_);
    throw Error("metrics: no server can be started; has the process too many files open?");
  }
  ~Daemon() {
    MHD_stop_daemon(daemon_);  // and closes the listener
    ::close(wake_);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  void serve(const std::stop_token& stop) {
    const int events = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    while (!stop.stop_requested()) {
      std::array<pollfd, 2> watched = {{{.fd = events, .events = POLLIN, .revents = 0},
                                        {.fd = wake_, .events = POLLIN, .revents = 0}}};
      ::poll(watched.data(), watched.size(), wait_ms());
      ended_ = false;
      MHD_run(daemon_);
      close_overdue();
    }
  }

  /// The wait under way ends.
  void stop() { ::eventfd_write(wake_, 1); }

 private:
  struct Open {
    int fd = -1;
    Time::time_point since{};
  };

  static MHD_Result handle(void* self, MHD_Connection* connection, const char* url,
                           const char* method, const char*, const char*, std::size_t*, void**) {
    const char* accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    return send(connection, answer_to(method, url, accept == nullptr ? "" : accept,
                                      static_cast<Daemon*>(self)->collect_));
  }

  static void notify(void* self, MHD_Connection* connection, void**,
                     MHD_ConnectionNotificationCode what) {
    Daemon& daemon = *static_cast<Daemon*>(self);
    const int fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
      daemon.open_.push_back({.fd = fd, .since = Time::now()});
    } else {
      std::erase_if(daemon.open_, [fd](const Open& o) { return o.fd == fd; });
      daemon.ended_ = true;
    }
  }

  /// -1: until something happens.
  int wait_ms() const {
    if (ended_) return 0;  // where it was full, only the next run listens again
    MHD_UNSIGNED_LONG_LONG pending = 0;
    if (MHD_get_timeout(daemon_, &pending) == MHD_YES)
      return static_cast<int>(std::min(pending, 1000ULL));
    if (open_.empty()) return -1;
    const auto left = open_.front().since + longest_ - Time::now();
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    return static_cast<int>(std::clamp<long long>(ms, 0, 1000));
  }

  /// The library knows time-outs between two bytes, but none of a whole connection, and once it has
  /// all connections that it may have it accepts no other: slow clients would keep everybody out.
  /// It closes the one whose socket is shut down here.
  void close_overdue() {
    const Time::time_point now = Time::now();
    bool full = open_.size() >= limits_.connections;
    while (!open_.empty() && (full || now - open_.front().since >= longest_)) {
      ::shutdown(open_.front().fd, SHUT_RDWR);
      open_.pop_front();
      full = false;
    }
  }

  const Collect collect_;
  const MetricsServerLimits limits_;
  const Time::duration longest_;
  const int wake_;
  std::list<Open> open_{};  // the oldest first
  bool ended_ = false;      // a connection, in the newest run
  MHD_Daemon* daemon_;
};

MetricsServer::MetricsServer(const MetricsAddress& address, Collect collect,
                             MetricsServerLimits limits) {
  const ListeningSocket socket = listen_on(address);
  url_ = fmt::format("http://{}{}", authority(address.host, socket.port), kPath);
  daemon_ = std::make_unique<Daemon>(socket.fd, std::move(collect), limits);
  // A thread has the mask of the one that makes it: a signal is for others, and none comes between.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::jthread([this](const std::stop_token& stop) { daemon_->serve(stop); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

MetricsServer::~MetricsServer() {
  thread_.request_stop();
  daemon_->stop();
  thread_.join();
}

}  // namespace thermoe
