// The launcher's gRPC client, against a small server.
#include "deploy/demo/watch.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "proto/weightmesh/v1/mesh.grpc.pb.h"

namespace weightmesh::demo {
namespace {

class FakeDaemon : public v1::MeshService::Service {
 public:
  explicit FakeDaemon(uint64_t uptime_ms) : uptime_ms_(uptime_ms) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  grpc::Status GetStats(grpc::ServerContext*, const v1::GetStatsRequest* request,
                        v1::Stats* stats) override {
    if (request->run_id() != "letter") return {grpc::StatusCode::NOT_FOUND, "no such run"};
    stats->set_uptime_ms(uptime_ms_);
    return grpc::Status::OK;
  }

  // Three have happened.
  grpc::Status ListEvents(grpc::ServerContext*, const v1::ListEventsRequest* request,
                          v1::EventList* list) override {
    for (uint64_t sequence = request->after() + 1; sequence <= 3; ++sequence) {
      list->add_events()->set_sequence(sequence);
    }
    list->set_last_sequence(3);
    return grpc::Status::OK;
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void Stop() { server_->Shutdown(); }

 private:
  const uint64_t uptime_ms_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(Watch, AsksEveryDaemonAndMarksTheSilent) {
  FakeDaemon first(1), second(2), third(3);
  Watch watch({first.address(), second.address(), third.address()});
  auto answers = watch.Poll("letter");
  ASSERT_EQ(answers.size(), 3u);
  for (size_t k = 0; k < 3; ++k) {
    ASSERT_TRUE(answers[k].has_value());
    EXPECT_EQ(answers[k]->uptime_ms(), k + 1);
  }
  second.Stop();
  answers = watch.Poll("letter");
  EXPECT_TRUE(answers[0].has_value());
  EXPECT_FALSE(answers[1].has_value());
  EXPECT_TRUE(answers[2].has_value());
}

TEST(Watch, FollowsADaemonToItsNewAddress) {
  FakeDaemon first(1), second(2), moved(3);
  Watch watch({first.address(), second.address()});
  second.Stop();
  watch.Follow(1, moved.address());
  const auto answers = watch.Poll("letter");
  ASSERT_TRUE(answers[1].has_value());
  EXPECT_EQ(answers[1]->uptime_ms(), 3u);
}

TEST(Watch, EventsAreNewOnce) {
  FakeDaemon daemon(1), restarted(2);
  Watch watch({daemon.address()});
  EXPECT_EQ(watch.NewEvents(0).size(), 3u);
  EXPECT_EQ(watch.NewEvents(0).size(), 0u);
  daemon.Stop();
  EXPECT_EQ(watch.NewEvents(0).size(), 0u);
  watch.Follow(0, restarted.address());
  EXPECT_EQ(watch.NewEvents(0).size(), 3u) << "its process counts from 1";
}

TEST(Watch, ARefusalIsNoAnswer) {
  FakeDaemon daemon(1);
  Watch watch({daemon.address()});
  EXPECT_FALSE(watch.Poll("another")[0].has_value());
}

}  // namespace
}  // namespace weightmesh::demo
