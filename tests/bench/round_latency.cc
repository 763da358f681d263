// round-latency: how long a lockstep round takes whose bytes cost nothing, in gRPC calls.
//
// A round is two trips from a trainer to its daemon and back and two from daemon to daemon, so that
// the machine's price of waking a process is most of it; a gRPC call over a Unix socket pays the
// same price. Both are timed in turns by one thread.
#include <unistd.h>

#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "grpcpp/grpcpp.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "tests/bench/best_of.h"
#include "tests/bench/median.h"
#include "tests/bench/process_bench.h"
#include "tests/bench/replica_pair.h"

namespace weightmesh::bench {
namespace {

constexpr uint64_t kSegments = 18;
constexpr uint64_t kSegmentParameters = 1024;  // 4 KiB
constexpr int kTurnRounds = 50;

// A gRPC server that does nothing, and its client, over a Unix socket.
class UnaryCall {
 public:
  explicit UnaryCall(const std::string& socket) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::MeshService::NewStub(
        grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  }

  // Whether it was answered.
  bool Call() {
    grpc::ClientContext context;
    v1::RunList reply;
    return stub_->ListRuns(&context, v1::ListRunsRequest(), &reply).ok();
  }

 private:
  class Service final : public v1::MeshService::Service {
    grpc::Status ListRuns(grpc::ServerContext* /*context*/, const v1::ListRunsRequest* /*request*/,
                          v1::RunList* /*reply*/) override {
      return grpc::Status::OK;
    }
  };

  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::MeshService::Stub> stub_;
};

// Whether the round is one to be timed.
bool IsWhole(const RoundResult& round) {
  return round.segments == kSegments && round.pulls[WEIGHTMESH_ARRIVED] == kSegments;
}

struct Times {
  std::vector<double> round_seconds;
  std::vector<double> call_seconds;
  int failed = 0;  // calls, and rounds in which not all segments arrived
};

// `turns` turns of kTurnRounds calls and as many rounds; the first turn is not kept.
Times TakeTurns(int turns, UnaryCall* call, ReplicaPair* pair) {
  std::future<void> other = std::async(std::launch::async, [pair, turns] {
    for (int k = 0; k < turns * kTurnRounds; ++k) pair->replica(1).Exchange(pair->model(1));
  });
  Times times;
  for (int turn = 0; turn < turns; ++turn) {
    for (int k = 0; k < kTurnRounds; ++k) {
      bool answered = false;
      const double seconds = SecondsOf([&] { answered = call->Call(); });
      if (turn > 0) times.call_seconds.push_back(seconds);
      times.failed += !answered;
    }
    for (int k = 0; k < kTurnRounds; ++k) {
      RoundResult round;
      const double seconds = SecondsOf([&] { round = pair->replica(0).Exchange(pair->model(0)); });
      if (turn > 0) times.round_seconds.push_back(seconds);
      times.failed += !IsWhole(round);
    }
  }
  other.get();
  return times;
}

}  // namespace

absl::Status MeasureRoundLatency(Length length, Report* report) {
  const int turns = length == Length::kSmoke ? 2 : 41;
  Mesh mesh(2);
  UnaryCall call(mesh.Folder() + "/call.sock");
  Options options;
  options.run_id = "round-latency";
  options.segments = kSegments;
  ReplicaPair pair(mesh, options, kSegments * kSegmentParameters);
  const Times times = TakeTurns(turns, &call, &pair);
  pair.Leave();
  if (times.failed > 0) {
    return absl::InternalError(
        absl::StrFormat("%d calls and rounds of %d failed", times.failed, 2 * turns * kTurnRounds));
  }
  const double round = Median(times.round_seconds);
  const double unary = Median(times.call_seconds);
  report->Add({.name = "round-latency",
               .what = "lockstep round of 18 segments of 4 KiB, 2 daemons",
               .against = "gRPC unary call over a Unix socket",
               .figure = round / unary,
               .unit = "calls",
               .kind = Bar::kAtMost,
               .bar = 5,
               .detail = absl::StrFormat("%.0f us against %.0f us", 1e6 * round, 1e6 * unary)});
  report->Add({.name = "round-latency-us",
               .what = "the same round, in microseconds",
               .figure = 1e6 * round,
               .unit = "us",
               .detail = absl::StrFormat("%d rounds, median", times.round_seconds.size())});
  return absl::OkStatus();
}

}  // namespace weightmesh::bench
