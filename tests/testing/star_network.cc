// Making and deleting namespaces by iproute2.
#include "tests/testing/star_network.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weightmesh {
namespace {

constexpr char kFolder[] = "/run/netns";
constexpr char kPrefix[] = "wmstar";  // then the process that makes it, "-", and which it is

bool Do(const std::string& command) {
  return std::system(absl::StrCat("{ ", command, "; } >/dev/null 2>&1").c_str()) == 0;
}

std::string Shaped(const std::string& space, const std::string& device, int mbit) {
  return absl::StrFormat(
      "ip netns exec %s tc qdisc replace dev %s root tbf rate %dmbit burst 256kb latency 50ms",
      space, device, mbit);
}

[[noreturn]] void Fail(const std::string& what) {
  std::perror(what.c_str());
  std::_Exit(1);
}

// Those of processes that live no more.
void DeleteLeftOvers() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kPrefix, 0) != 0) continue;
    const pid_t maker = std::atoi(name.c_str() + sizeof kPrefix - 1);
    if (maker > 0 && ::kill(maker, 0) != 0 && errno == ESRCH) Do("ip netns del " + name);
  }
}

}  // namespace

StarNetwork::StarNetwork(const std::vector<int>& mbit, int far_from)
    : name_(absl::StrCat(kPrefix, ::getpid(), "-")),
      size_(static_cast<int>(mbit.size())),
      far_from_(far_from) {
  DeleteLeftOvers();
  const std::string center = hub();
  made_ = Do(
      absl::StrCat("ip netns add ", center, " && ip -n ", center, " link set lo up && ip -n ",
                   center, " link add bridge type bridge && ip -n ", center,
                   " addr add 10.78.0.254/24 dev bridge && ip -n ", center, " link set bridge up"));
  if (far_from_ < size_) made_ = made_ && MakeFarBridge();
  for (int k = 0; made_ && k < size_; ++k) {
    const std::string space = NamespaceOf(k);
    const char* const bridge = k < far_from_ ? "bridge" : "far";
    const std::string port = absl::StrCat("port", k);
    made_ = Do(absl::StrCat("ip netns add ", space, " && ip link add name wire netns ", space,
                            " type veth peer name ", port, " netns ", center, " && ip -n ", space,
                            " addr add ", IpOf(k), "/24 dev wire && ip -n ", space,
                            " link set lo up && ip -n ", space, " link set wire up && ip -n ",
                            center, " link set ", port, " master ", bridge, " up")) &&
            (mbit[k] == 0 || SetSpeed(k, mbit[k]));
  }
  // UCX takes only an interface that runs, which the kernel finds out in its own time.
  for (int k = 0; made_ && k < size_; ++k) {
    const std::string is_up =
        absl::StrCat("ip -n ", NamespaceOf(k), " link show wire | grep -q 'state UP'");
    for (int tries = 0; tries < 100 && !Do(is_up); ++tries) ::usleep(50'000);
  }
}

// It has an address of its own, which nobody answers for on the other bridge.
bool StarNetwork::MakeFarBridge() const {
  const std::string center = hub();
  std::string command = absl::StrCat(
      "ip -n ", center, " link add far type bridge && ip -n ", center,
      " addr add 10.78.0.253/32 dev far && ip -n ", center, " link set far up && ip netns exec ",
      center, " sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore' && ip -n ", center,
      " link add trunk type veth peer name trunk-far && ip -n ", center,
      " link set trunk master bridge up && ip -n ", center, " link set trunk-far master far up");
  for (int k = far_from_; k < size_; ++k) {
    absl::StrAppend(&command, " && ip -n ", center, " route add ", IpOf(k),
                    "/32 dev far src 10.78.0.253");
  }
  return Do(command);
}

StarNetwork::~StarNetwork() {
  bool gone = Do("ip netns del " + hub());
  for (int k = 0; k < size_; ++k) gone &= Do(absl::StrCat("ip netns del ", NamespaceOf(k)));
  if (made_ && !gone) std::fprintf(stderr, "namespaces %s* are left over\n", name_.c_str());
}

std::string StarNetwork::NamespaceOf(int k) const { return absl::StrCat(name_, k); }

std::string StarNetwork::IpOf(int k) { return absl::StrCat("10.78.0.", k + 1); }

std::string StarNetwork::hub() const { return name_ + "hub"; }

bool StarNetwork::SetSpeed(int k, int mbit) const {
  return Do(Shaped(NamespaceOf(k), "wire", mbit)) &&
         Do(Shaped(hub(), absl::StrCat("port", k), mbit));
}

bool StarNetwork::SetTrunk(bool up) const {
  return Do(absl::StrCat("ip -n ", hub(), " link set trunk ", up ? "up" : "down"));
}

bool StarNetwork::RunIn(int k, const std::string& command) const {
  return Do(absl::StrCat("ip netns exec ", NamespaceOf(k), " ", command));
}

int StarNetwork::RunInChild(const std::function<int()>& measure) const {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    const int failed = measure();
    std::fflush(stdout);
    std::_Exit(failed);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  return status == 0 ? 0 : 1;
}

void EnterNetwork(const std::string& name) {
  const std::string path = absl::StrCat(kFolder, "/", name);
  const int space = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) Fail("cannot enter " + path);
  ::close(space);
}

void EnterNamespace(const std::string& name) {
  EnterNetwork(name);
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("", "/", "none", MS_SLAVE | MS_REC, nullptr) != 0 ||
      ::mount(name.c_str(), "/sys", "sysfs", 0, nullptr) != 0) {
    Fail("cannot mount the /sys of " + name);
  }
}

}  // namespace weightmesh
