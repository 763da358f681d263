// A hundred watchers of a real run, of which some do not read and some are killed: no pull is lost.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "tests/control/event_stream.h"
#include "tests/process/footprint.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatsStream;
using testing::TopologyStream;

constexpr int kReplicas = 4;
constexpr absl::Duration kLimit = absl::Seconds(60);

GossipOptions EndlessRun(const std::string& run_id) {
  GossipOptions options;
  options.run_id = run_id;
  options.replicas = kReplicas;
  options.steps = 0;
  options.parameters = 50'000;
  options.step_ms.assign(kReplicas, 5);
  return options;
}

v1::WatchStatsRequest StatsRequest() {
  v1::WatchStatsRequest request;
  request.set_interval_ms(100);
  request.set_with_segments(true);
  return request;
}

v1::WatchTopologyRequest TopologyRequest() {
  v1::WatchTopologyRequest request;
  request.set_interval_ms(100);
  request.set_with_rounds(true);
  return request;
}

int DescriptorsOf(pid_t pid) {
  std::error_code ignored;
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd", ignored);
  return static_cast<int>(std::distance(begin(all), end(all)));
}

// VmRSS.
uint64_t ResidentKib(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; file >> word;) {
    uint64_t kib = 0;
    if (word == "VmRSS:" && file >> kib) return kib;
  }
  return 0;
}

// Watches with a thread, from the first event to the stream's end.
template <typename Stream, typename Request>
class Reader {
 public:
  Reader(v1::MeshService::Stub* stub, const Request& request)
      : stream_(stub, request), thread_([this] { Run(); }) {}
  ~Reader() {
    stream_.Cancel();
    if (thread_.joinable()) thread_.join();
  }

  uint64_t events() const { return events_; }
  // Waits for the end.
  grpc::Status status() {
    thread_.join();
    return status_;
  }

 private:
  void Run() {
    while (stream_.Read()) {
      EXPECT_EQ(stream_.event().sequence(), events_ + 1) << "it reads, and yet loses events";
      ++events_;
    }
    status_ = stream_.Finish();
  }

  Stream stream_;
  std::atomic<uint64_t> events_{0};
  grpc::Status status_;
  std::thread thread_;
};

using StatsReader = Reader<StatsStream, v1::WatchStatsRequest>;
using TopologyReader = Reader<TopologyStream, v1::WatchTopologyRequest>;

TEST(Watch, AHundredWatchersDisturbNoRun) {
  Mesh mesh(2);
  GossipRun run(&mesh, EndlessRun("watched"));
  const auto await_rounds = [&](uint64_t more) {
    for (int k = 0; k < kReplicas; ++k) {
      const uint64_t round = run.Stats(k).round() + more;
      ASSERT_TRUE(Mesh::Await([&] { return run.Stats(k).round() >= round; }, kLimit));
    }
  };
  await_rounds(10);
  Child& daemon = mesh.daemon(0);
  const int descriptors = DescriptorsOf(daemon.pid());

  // 20 programs, 40 that read, 40 that do not.
  std::vector<std::unique_ptr<Child>> programs;
  for (int k = 0; k < 20; ++k) {
    programs.push_back(std::make_unique<Child>(
        std::vector<std::string>{WEIGHTMESHCTL, "--daemon=" + mesh.address(0), "--output=json",
                                 "--watch", "--interval-ms=100", k % 2 == 0 ? "topology" : "stats"},
        mesh.Folder() + "/ctl.log"));
  }
  const auto stub = v1::MeshService::NewStub(OpenChannel(mesh.address(0), 1 << 24));
  std::vector<std::unique_ptr<StatsReader>> stats;
  std::vector<std::unique_ptr<TopologyReader>> topology;
  std::vector<std::unique_ptr<StatsStream>> unread;
  for (int k = 0; k < 20; ++k) {
    stats.push_back(std::make_unique<StatsReader>(stub.get(), StatsRequest()));
    topology.push_back(std::make_unique<TopologyReader>(stub.get(), TopologyRequest()));
    unread.push_back(std::make_unique<StatsStream>(stub.get(), StatsRequest()));
    unread.push_back(std::make_unique<StatsStream>(stub.get(), StatsRequest()));
  }
  for (const auto& program : programs) ASSERT_EQ(program->Hear(kLimit), '{');
  const auto all_have = [&](uint64_t events) {
    const auto has = [events](const auto& reader) { return reader->events() >= events; };
    return std::all_of(stats.begin(), stats.end(), has) &&
           std::all_of(topology.begin(), topology.end(), has);
  };
  ASSERT_TRUE(Mesh::Await([&] { return all_have(1); }, kLimit));
  const uint64_t resident = ResidentKib(daemon.pid());

  // Half of the programs are killed, half stand still: these do not read any more either.
  for (int k = 0; k < 10; ++k) programs[k]->Signal(SIGKILL);
  for (int k = 10; k < 20; ++k) programs[k]->Signal(SIGSTOP);
  await_rounds(100);
  EXPECT_TRUE(Mesh::Await([&] { return all_have(20); }, kLimit));
  if (kResidentMemoryIsOwn) {
    EXPECT_LT(ResidentKib(daemon.pid()), resident + 64 * 1024);
  }

  // What was not read is there, or said to be lost.
  for (const auto& stream : unread) {
    uint64_t sequence = 0;
    for (int k = 0; k < 20; ++k) {
      ASSERT_TRUE(stream->Read());
      ASSERT_EQ(stream->event().sequence(), sequence + stream->event().events_lost() + 1);
      ASSERT_EQ(stream->event().has_full(), k == 0 || stream->event().events_lost() > 0);
      sequence = stream->event().sequence();
    }
  }

  // They go, and leave nothing behind.
  unread.clear();
  stats.clear();
  topology.clear();
  programs.clear();
  EXPECT_TRUE(Mesh::Await([&] { return DescriptorsOf(daemon.pid()) <= descriptors + 8; }, kLimit))
      << DescriptorsOf(daemon.pid()) << " descriptors, " << descriptors << " before";
  // Looked at while all train: they do not stop at one step, and who is last finds nobody.
  for (int k = 0; k < kReplicas; ++k) {
    const v1::ReplicaStats counted = run.Stats(k);
    EXPECT_GT(PullsOf(counted), 110 * run.options().segments) << "replica " << k;
    EXPECT_EQ(CountOf(counted, v1::OUTCOME_ARRIVED), PullsOf(counted)) << "replica " << k;
  }
  run.Stop();
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.alone + result.skipped, 0u);
    EXPECT_EQ(result.AllPulls(), result.due) << result.DescribePulls();
  }
}

// A daemon that stops says so to who watches it, also when others do not listen.
TEST(Watch, ADaemonThatStopsEndsItsWatches) {
  Mesh mesh(1);
  const auto stub = v1::MeshService::NewStub(OpenChannel(mesh.address(0), 1 << 24));
  StatsReader stats(stub.get(), StatsRequest());
  TopologyReader topology(stub.get(), TopologyRequest());
  StatsStream unread(stub.get(), StatsRequest());
  Child ctl({WEIGHTMESHCTL, "--daemon=" + mesh.address(0), "--output=json", "--watch", "topology"},
            mesh.Folder() + "/ctl.log");
  ASSERT_EQ(ctl.Hear(kLimit), '{');
  ASSERT_TRUE(Mesh::Await([&] { return stats.events() >= 2 && topology.events() >= 1; }, kLimit));
  mesh.daemon(0).Signal(SIGTERM);
  EXPECT_EQ(mesh.daemon(0).Wait(kLimit), 0);
  for (const grpc::Status& status : {stats.status(), topology.status()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("the daemon is stopping"));
  }
  EXPECT_EQ(unread.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  ctl.Signal(SIGINT);
  EXPECT_EQ(ctl.Wait(kLimit), 0);
}

// The same answers from a real core as from the fakes.
TEST(Watch, HugeNumbersAndUnknownNames) {
  Mesh mesh(1);
  GossipOptions options = EndlessRun("huge");
  options.replicas = 2;
  GossipRun run(&mesh, options);
  ASSERT_TRUE(Mesh::Await([&] { return run.Stats(0).round() >= 1; }, kLimit));
  const auto stub = v1::MeshService::NewStub(OpenChannel(mesh.address(0), 1 << 24));
  const auto schedule = [&](const std::string& run_id, uint64_t round, uint32_t segment,
                            v1::ScheduleTable* table) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::GetScheduleRequest request;
    request.set_run_id(run_id);
    request.set_round(round);
    request.set_segment(segment);
    return stub->GetSchedule(&context, request, table);
  };
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  v1::ScheduleTable table;
  EXPECT_TRUE(schedule("huge", kHuge, 0, &table).ok());
  ASSERT_EQ(table.assignments_size(), 2);
  EXPECT_NE(table.assignments(0).source().low(), table.assignments(0).reader().low());
  const grpc::Status segment = schedule("huge", 0, std::numeric_limits<uint32_t>::max(), &table);
  EXPECT_EQ(segment.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_THAT(segment.error_message(), AllOf(HasSubstr("0 to 17"), HasSubstr("4294967295")));
  v1::WatchTopologyRequest topology;
  topology.set_run_id("hug");
  v1::WatchStatsRequest stats;
  stats.set_run_id("hug");
  for (const grpc::Status& status :
       {schedule("hug", 1, 0, &table), TopologyStream(stub.get(), topology).Finish(),
        StatsStream(stub.get(), stats).Finish()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_THAT(status.error_message(), AllOf(HasSubstr("\"hug\""), HasSubstr("knows \"huge\"")));
  }
  run.Stop();
  for (int k = 0; k < 2; ++k) EXPECT_EQ(run.Result(k, kLimit).exit_code, 0);
}

}  // namespace
}  // namespace weightmesh
