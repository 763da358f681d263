// One look-up after another, of each name in turn.
#include "daemon/runtime/seed_resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "daemon/control/address.h"
#include "daemon/core/mutex.h"

namespace weightmesh {
namespace {

constexpr size_t kAddressesShown = 8;

}  // namespace

absl::StatusOr<std::vector<std::string>> LookUpHost(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (failed != 0) {
    return absl::UnavailableError(failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(list, freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
        0) {
      addresses.emplace_back(text);
    }
  }
  return addresses;
}

bool IsNamedSeed(absl::string_view seed) {
  const absl::StatusOr<HostPort> address = ParseHostPort(seed);
  return address.ok() && !IsNumericHost(address->host);
}

// The thread keeps it until it ends.
class SeedResolver::Worker {
 public:
  Worker(SeedResolverOptions options, std::function<void(std::vector<std::string>)> found)
      : options_(std::move(options)), found_(std::move(found)) {}

  void Run() {
    absl::Duration pause = options_.pause_first;
    while (true) {
      bool changed = false;
      for (const std::string& seed : options_.seeds) {
        const auto hosts = options_.look_up(ParseHostPort(seed)->host);
        MutexLock lock(&mutex_);
        if (ended_) return;  // the log may be gone by now
        if (TakeIn(seed, hosts)) changed = true;
      }
      pause = changed ? options_.pause_first : std::min(2 * pause, options_.pause_last);
      if (!Sleep(pause)) return;
    }
  }

  void End() {
    MutexLock lock(&mutex_);
    ended_ = true;
    end_.notify_one();
  }

 private:
  // Whether the answer differs from the one before.
  bool TakeIn(const std::string& seed, const absl::StatusOr<std::vector<std::string>>& hosts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::string failure(hosts.status().message());
    if (std::exchange(failures_[seed], failure) != failure && !hosts.ok()) {
      spdlog::warn("seed {} is not found: {}", seed, failure);
    }
    if (!hosts.ok()) return false;
    const uint16_t port = ParseHostPort(seed)->port;
    std::set<std::string> addresses;
    for (const std::string& host : *hosts) addresses.insert(FormatHostPort(HostPort{host, port}));
    if (addresses == addresses_[seed]) return false;
    Report(seed, addresses);
    addresses_[seed] = std::move(addresses);
    Tell();
    return true;
  }

  static void Report(const std::string& seed, const std::set<std::string>& addresses) {
    std::vector<std::string> shown(addresses.begin(), addresses.end());
    if (shown.size() > kAddressesShown) shown.resize(kAddressesShown);
    spdlog::info("seed {} has {} {}: {}{}", seed, addresses.size(),
                 addresses.size() == 1 ? "address" : "addresses", absl::StrJoin(shown, ", "),
                 addresses.size() > shown.size() ? ", ..." : "");
  }

  // What all names have now.
  void Tell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::set<std::string> all;
    for (const auto& [seed, addresses] : addresses_) all.insert(addresses.begin(), addresses.end());
    std::vector<std::string> told(all.begin(), all.end());
    if (told.size() > kFoundSeedsMax) {
      spdlog::warn("the seeds have {} addresses; the first {} are asked", told.size(),
                   kFoundSeedsMax);
      told.resize(kFoundSeedsMax);
    }
    found_(std::move(told));
  }

  // False: ended.
  bool Sleep(absl::Duration pause) {
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(pause);
    MutexLock lock(&mutex_);
    std::unique_lock<std::mutex> held(mutex_.native(), std::adopt_lock);
    while (!ended_ && end_.wait_until(held, until) != std::cv_status::timeout) {
    }
    held.release();
    return !ended_;
  }

  const SeedResolverOptions options_;
  const std::function<void(std::vector<std::string>)> found_;
  Mutex mutex_;
  std::condition_variable end_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  // By seed: what it has now, and why the last look-up failed.
  std::map<std::string, std::set<std::string>> addresses_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> failures_ ABSL_GUARDED_BY(mutex_);
};

SeedResolver::SeedResolver(SeedResolverOptions options,
                           std::function<void(std::vector<std::string>)> found)
    : worker_(std::make_shared<Worker>(std::move(options), std::move(found))) {
  std::thread([worker = worker_] { worker->Run(); }).detach();
}

SeedResolver::~SeedResolver() { worker_->End(); }

}  // namespace weightmesh
