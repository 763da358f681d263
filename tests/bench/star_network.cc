// Making and deleting namespaces by iproute2.
#include "tests/bench/star_network.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weightmesh::bench {
namespace {

bool Do(const std::string& command) {
  return std::system(absl::StrCat("{ ", command, "; } >/dev/null 2>&1").c_str()) == 0;
}

std::string Shaped(const std::string& space, const std::string& device, int mbit) {
  return absl::StrFormat(
      "ip netns exec %s tc qdisc replace dev %s root tbf rate %dmbit burst 128kb latency 50ms",
      space, device, mbit);
}

}  // namespace

StarNetwork::StarNetwork(const std::vector<int>& mbit)
    : name_(absl::StrCat("wm", ::getpid(), "s")), size_(static_cast<int>(mbit.size())) {
  const std::string hub = absl::StrCat(name_, "hub");
  made_ =
      Do(absl::StrCat("ip netns add ", hub, " && ip -n ", hub, " link set lo up && ip -n ", hub,
                      " link add bridge type bridge && ip -n ", hub,
                      " addr add 10.78.0.254/24 dev bridge && ip -n ", hub, " link set bridge up"));
  for (int k = 0; made_ && k < size_; ++k) {
    const std::string space = NamespaceOf(k);
    const std::string port = absl::StrCat("port", k);
    made_ = Do(absl::StrCat("ip netns add ", space, " && ip link add name wire netns ", space,
                            " type veth peer name ", port, " netns ", hub, " && ip -n ", space,
                            " addr add ", IpOf(k), "/24 dev wire && ip -n ", space,
                            " link set lo up && ip -n ", space, " link set wire up && ip -n ", hub,
                            " link set ", port, " master bridge up")) &&
            SetSpeed(k, mbit[k]);
  }
  // UCX takes only an interface that runs, which the kernel finds out in its own time.
  for (int k = 0; made_ && k < size_; ++k) {
    const std::string is_up =
        absl::StrCat("ip -n ", NamespaceOf(k), " link show wire | grep -q 'state UP'");
    for (int tries = 0; tries < 100 && !Do(is_up); ++tries) ::usleep(50'000);
  }
}

StarNetwork::~StarNetwork() {
  bool gone = Do(absl::StrCat("ip netns del ", name_, "hub"));
  for (int k = 0; k < size_; ++k) gone &= Do(absl::StrCat("ip netns del ", NamespaceOf(k)));
  if (made_ && !gone) std::fprintf(stderr, "namespaces %s* are left over\n", name_.c_str());
}

std::string StarNetwork::NamespaceOf(int k) const { return absl::StrCat(name_, k); }

std::string StarNetwork::IpOf(int k) { return absl::StrCat("10.78.0.", k + 1); }

void StarNetwork::EnterHub() const {
  const std::string path = absl::StrCat("/run/netns/", name_, "hub");
  const int space = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) {
    std::fprintf(stderr, "cannot enter %s\n", path.c_str());
    std::_Exit(1);
  }
  ::close(space);
}

bool StarNetwork::SetSpeed(int k, int mbit) const {
  return Do(Shaped(NamespaceOf(k), "wire", mbit)) &&
         Do(Shaped(absl::StrCat(name_, "hub"), absl::StrCat("port", k), mbit));
}

}  // namespace weightmesh::bench
