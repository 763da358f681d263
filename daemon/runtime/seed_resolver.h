// SeedResolver: where seeds that are names are found, asked for again and again: a name may have
// many addresses (a Kubernetes headless service), and others tomorrow. The system's resolver
// blocks, for many seconds where the network is broken, so it has a thread of its own, which nobody
// waits for.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace weightmesh {

// Addresses of all names together; what is beyond is left out, and that is logged.
constexpr size_t kFoundSeedsMax = 4096;

// The addresses of `host` as numbers, by the system's resolver: hosts file, DNS, what else it is
// set to ask. Blocks. Unavailable, with the reason, when there are none.
absl::StatusOr<std::vector<std::string>> LookUpHost(const std::string& host);

// Whether `seed` ("host:port") is to be looked up: its host is a name.
bool IsNamedSeed(absl::string_view seed);

struct SeedResolverOptions {
  std::vector<std::string> seeds;  // "host:port", well-formed, with names for hosts
  std::function<absl::StatusOr<std::vector<std::string>>(const std::string& host)> look_up =
      LookUpHost;
  // Pause before names are looked up again: it doubles from the first to the last, and begins anew
  // when an answer differs from the one before.
  absl::Duration pause_first = absl::Seconds(1);
  absl::Duration pause_last = absl::Seconds(10);
};

class SeedResolver {
 public:
  // `found` is called on the resolver's thread with all addresses ("1.2.3.4:port", sorted) that the
  // names have now, whenever these have changed. A name that cannot be looked up keeps its former
  // ones; the reason is logged when it changes. `found` must not block, nor end the resolver.
  SeedResolver(SeedResolverOptions options, std::function<void(std::vector<std::string>)> found);
  // `found` is not called any more once it returns. A look-up under way is not waited for.
  ~SeedResolver();
  SeedResolver(const SeedResolver&) = delete;
  SeedResolver& operator=(const SeedResolver&) = delete;

 private:
  class Worker;
  const std::shared_ptr<Worker> worker_;
};

}  // namespace weightmesh
