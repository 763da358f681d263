// Starting daemons, and asking them over gRPC.
#include "tests/process/mesh.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "daemon/core/check.h"
#include "grpcpp/grpcpp.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kStartLimit = absl::Seconds(30);
constexpr int kAwaitStepMs = 5;
constexpr int kAwaitQuickSteps = 10;  // the first, of 1 ms each

// Reads notifications until one tells where the daemon listens.
std::string AwaitListening(int notify_socket) {
  const std::string wanted = "WEIGHTMESH_LISTENING=";
  while (true) {
    pollfd readable{notify_socket, POLLIN, 0};
    if (poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(kStartLimit))) <= 0)
      return "";
    char text[4096];
    const ssize_t size = recv(notify_socket, text, sizeof text, 0);
    if (size <= 0) return "";
    std::istringstream lines(std::string(text, static_cast<size_t>(size)));
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind(wanted, 0) == 0) return line.substr(wanted.size());
    }
  }
}

FileDescriptor BindDatagram(const std::string& path) {
  FileDescriptor bound(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  WEIGHTMESH_CHECK(bind(bound.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0,
                   "the notify socket cannot be bound");
  return bound;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename Reply, typename Call>
Reply Ask(Call call) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  Reply reply;
  const grpc::Status status = call(&context, &reply);
  return status.ok() ? reply : Reply();
}

}  // namespace

Mesh::Mesh(int daemons, MeshOptions options) : options_(std::move(options)), daemons_(daemons) {
  std::string pattern = std::filesystem::temp_directory_path() / "weightmesh-XXXXXX";
  folder_ = mkdtemp(pattern.data());
  const auto is_absent = [&](int k) {
    return std::find(options_.absent.begin(), options_.absent.end(), k) != options_.absent.end();
  };
  const bool at_once = !options_.seeds_of.empty();
  for (int k = 0; k < daemons; ++k) {
    if (is_absent(k)) continue;
    Launch(k);
    if (!at_once) AwaitServing(k);
  }
  for (int k = 0; k < daemons && at_once; ++k) {
    if (!is_absent(k)) AwaitServing(k);
  }
}

Mesh::~Mesh() {
  if (testing::UnitTest::GetInstance()->Failed()) std::fputs(Logs().c_str(), stderr);
  daemons_.clear();
  std::filesystem::remove_all(folder_);
}

std::vector<std::string> Mesh::SeedsOf(int k) const {
  if (options_.seeds_of.empty()) {
    return k > 0 ? std::vector{daemons_[0].address} : std::vector<std::string>();
  }
  std::vector<std::string> seeds;
  for (int seed : options_.seeds_of[k]) {
    const DaemonSite& site = options_.sites[seed];
    seeds.push_back(site.ip + ":" + std::to_string(site.port));
  }
  return seeds;
}

void Mesh::Restart(int k) {
  Launch(k);
  AwaitServing(k);
}

void Mesh::RestartAt(int k, DaemonSite site) {
  options_.sites[k] = std::move(site);
  Restart(k);
}

void Mesh::Launch(int k) {
  const std::string own = folder_ + "/" + std::to_string(k);
  std::filesystem::create_directory(own);
  const std::string notify_path = own + "/notify.sock";
  std::filesystem::remove(notify_path);
  daemons_[k].notify = BindDatagram(notify_path);
  const std::string config_file = own + "/daemon.textproto";
  std::ofstream config(config_file);
  config << options_.config << "\n";
  if (static_cast<size_t>(k) < options_.config_of.size()) config << options_.config_of[k] << "\n";
  config.close();
  std::vector<std::string> arguments;
  DaemonSite site{.network_namespace = "", .ip = "127.0.0.1"};
  if (!options_.sites.empty()) {
    site = options_.sites[k];
    arguments = {"/usr/bin/env", "ip", "netns", "exec", site.network_namespace};
  }
  arguments.insert(arguments.end(), {WEIGHTMESHD, "--config=" + config_file,
                                     "--listen=" + site.ip + ":" + std::to_string(site.port),
                                     "--state-directory=" + own, "--attach-socket=" + socket(k)});
  for (const std::string& seed : SeedsOf(k)) arguments.push_back("--seed=" + seed);
  daemons_[k].child = std::make_unique<Child>(std::move(arguments), own + "/daemon.log",
                                              std::vector{"NOTIFY_SOCKET=" + notify_path});
}

void Mesh::AwaitServing(int k) {
  daemons_[k].address = AwaitListening(daemons_[k].notify.get());
  EXPECT_FALSE(daemons_[k].address.empty()) << "daemon " << k << " does not start";
  daemons_[k].stub = v1::MeshService::NewStub(
      grpc::CreateChannel(daemons_[k].address, grpc::InsecureChannelCredentials()));
}

void Mesh::Kill(int k, int signal_number) {
  daemons_[k].child->Signal(signal_number);
  EXPECT_GE(daemons_[k].child->Wait(kStartLimit), 0) << "daemon " << k << " does not end";
}

v1::Stats Mesh::Stats(int k, const std::string& run_id) const {
  return Ask<v1::Stats>([&](auto* context, v1::Stats* reply) {
    v1::GetStatsRequest request;
    request.set_run_id(run_id);
    return daemons_[k].stub->GetStats(context, request, reply);
  });
}

v1::Topology Mesh::Topology(int k, const std::string& run_id) const {
  return Ask<v1::Topology>([&](auto* context, v1::Topology* reply) {
    v1::GetTopologyRequest request;
    request.set_run_id(run_id);
    return daemons_[k].stub->GetTopology(context, request, reply);
  });
}

v1::LinkList Mesh::Links(int k) const {
  return Ask<v1::LinkList>([&](auto* context, v1::LinkList* reply) {
    return daemons_[k].stub->ListLinks(context, v1::ListLinksRequest(), reply);
  });
}

int Mesh::ViewSize(int k, const std::string& run_id) const {
  const v1::Topology topology = Topology(k, run_id);
  return static_cast<int>(
      std::count_if(topology.replicas().begin(), topology.replicas().end(),
                    [](const v1::Replica& replica) { return replica.rank() >= 0; }));
}

uint64_t Mesh::FramesRefused() const {
  uint64_t refused = 0;
  for (int k = 0; k < size(); ++k) refused += Stats(k, "").frames_refused();
  return refused;
}

bool Mesh::Await(const std::function<bool()>& holds, absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  for (int steps = 0; !holds(); ++steps) {
    if (absl::Now() > end) return false;
    poll(nullptr, 0, steps < kAwaitQuickSteps ? 1 : kAwaitStepMs);
  }
  return true;
}

std::string Mesh::DaemonLog(int k) const {
  return ReadFile(folder_ + "/" + std::to_string(k) + "/daemon.log");
}

std::string Mesh::Logs() const {
  std::ostringstream all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    if (entry.path().extension() != ".log") continue;
    all << "--- " << entry.path().string() << "\n" << ReadFile(entry.path()) << "\n";
  }
  return all.str();
}

uint64_t CountOf(const v1::ReplicaStats& stats, v1::Outcome outcome) {
  for (const v1::OutcomeCount& row : stats.pulls()) {
    if (row.outcome() == outcome) return row.count();
  }
  return 0;
}

uint64_t PullsOf(const v1::ReplicaStats& stats) {
  uint64_t sum = 0;
  for (const v1::OutcomeCount& row : stats.pulls()) sum += row.count();
  return sum;
}

}  // namespace weightmesh
