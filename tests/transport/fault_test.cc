// What FaultTransport does to the operations that it hits, and that each still ends exactly once.
#include "daemon/transport/fault.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "daemon/transport/loopback.h"
#include "tests/transport/transport_node.h"

namespace weightmesh {
namespace {

// A reader and a source, each with faults of its own.
class FaultTest : public testing::Test {
 protected:
  void Make(const FaultOptions& reader_faults, const FaultOptions& source_faults) {
    auto reader =
        std::make_unique<FaultTransport>(std::make_unique<LoopbackTransport>(hub_), reader_faults);
    auto source =
        std::make_unique<FaultTransport>(std::make_unique<LoopbackTransport>(hub_), source_faults);
    reader_faults_ = reader.get();
    source_faults_ = source.get();
    reader_ = std::make_unique<TransportNode>(1, std::move(reader));
    source_ = std::make_unique<TransportNode>(2, std::move(source));
    Link(*reader_, *source_);
  }

  LoopbackHub hub_;
  std::unique_ptr<TransportNode> reader_;
  std::unique_ptr<TransportNode> source_;
  FaultTransport* reader_faults_ = nullptr;
  FaultTransport* source_faults_ = nullptr;
};

TEST_F(FaultTest, ADroppedRequestIsSilentUntilCancelled) {
  Make({.drop_request = {.nth = 1}}, {});
  const RequestId dropped = reader_->Pull(*source_, reader_->Allocate(100));
  const RequestId passed = reader_->Pull(*source_, reader_->Allocate(100));
  const PullRequest request = source_->WaitForRequest();
  EXPECT_EQ(request.request_id, passed);
  source_->Send(request, source_->Allocate(100));
  EXPECT_EQ(reader_->WaitForEnd(passed), PullEnd::kLanded);
  EXPECT_TRUE(reader_->sink().WaitFor(
      [&](const RecordingSink& sink) { return sink.pulls.count(dropped) == 0; }));
  reader_->transport().Cancel(dropped);
  EXPECT_EQ(reader_->WaitForEnd(dropped), PullEnd::kCancelled);
  EXPECT_EQ(reader_faults_->counts().requests_dropped, 1u);
}

TEST_F(FaultTest, ADroppedRequestEndsWithItsLink) {
  Make({.drop_request = {.rate = 1}}, {});
  const RequestId disconnected = reader_->Pull(*source_, reader_->Allocate(100));
  reader_->transport().Disconnect(source_->id(), false);
  EXPECT_EQ(reader_->WaitForEnd(disconnected), PullEnd::kFailed);

  Link(*reader_, *source_);
  const RequestId replaced = reader_->Pull(*source_, reader_->Allocate(100));
  Link(*reader_, *source_);
  EXPECT_EQ(reader_->WaitForEnd(replaced), PullEnd::kFailed);

  const RequestId peer_gone = reader_->Pull(*source_, reader_->Allocate(100));
  source_->Stop();
  EXPECT_EQ(reader_->WaitForEnd(peer_gone), PullEnd::kFailed);

  const RequestId stopped = reader_->Pull(*source_, reader_->Allocate(100));
  reader_->Stop();
  EXPECT_EQ(reader_->sink().pulls.at(stopped).ends, std::vector<PullEnd>{PullEnd::kFailed});
}

TEST_F(FaultTest, ADroppedAnswerIsNeverHeard) {
  Make({}, {.drop_answer = {.nth = 1}});
  const RequestId pull = reader_->Pull(*source_, reader_->Allocate(100));
  const PullRequest request = source_->WaitForRequest();
  source_->Answer(request, wire::Verdict::kWaiting);  // lost
  source_->Answer(request, wire::Verdict::kGone);
  EXPECT_EQ(reader_->WaitForEnd(pull), PullEnd::kNoData);
  reader_->Stop();
  EXPECT_EQ(reader_->sink().pulls.at(pull).answers.size(), 1u);
}

TEST_F(FaultTest, FailedPullsAndSendsEndAtOnce) {
  Make({.fail_pull = {.nth = 2}}, {.fail_send = {.nth = 1}});
  const RequestId first = reader_->Pull(*source_, reader_->Allocate(100));
  EXPECT_EQ(reader_->WaitForEnd(reader_->Pull(*source_, reader_->Allocate(100))), PullEnd::kFailed);
  const PullRequest request = source_->WaitForRequest();
  EXPECT_FALSE(source_->WaitForSent(source_->Send(request, source_->Allocate(100))));
  EXPECT_TRUE(source_->WaitForSent(source_->Send(request, source_->Allocate(100))));
  EXPECT_EQ(reader_->WaitForEnd(first), PullEnd::kLanded);
}

TEST_F(FaultTest, CorruptionFlipsOneBit) {
  Make({.corrupt = {.nth = 1}}, {});
  const auto landing = reader_->Allocate(1000);
  const RequestId pull = reader_->Pull(*source_, landing);
  const auto data = source_->AllocatePattern(1000, 1);
  source_->Send(source_->WaitForRequest(), data);
  EXPECT_EQ(reader_->WaitForEnd(pull), PullEnd::kLanded);
  int different_bits = 0;
  for (size_t i = 0; i < data.size(); ++i) {
    different_bits += __builtin_popcount(static_cast<unsigned>(data[i] ^ landing[i]));
  }
  EXPECT_EQ(different_bits, 1);
}

TEST_F(FaultTest, ATornLandingKeepsItsFormerSecondHalf) {
  Make({.tear = {.rate = 1}}, {});
  const auto landing = reader_->Allocate(1000);
  const RequestId pull = reader_->Pull(*source_, landing);
  source_->Send(source_->WaitForRequest(), source_->AllocatePattern(1000, 1));
  EXPECT_EQ(reader_->WaitForEnd(pull), PullEnd::kLanded);
  EXPECT_TRUE(HoldsPattern(landing.first(500), 1));
  EXPECT_TRUE(IsUntouched(landing.subspan(500)));
}

TEST_F(FaultTest, DelayedOperationsEndBeforeTheyLeave) {
  constexpr uint32_t kForEver = 3600 * 1000;
  Make({.delay_ms_min = kForEver, .delay_ms_max = kForEver, .delayed_max = 2}, {});
  const RequestId cancelled = reader_->Pull(*source_, reader_->Allocate(100));
  const RequestId open = reader_->Pull(*source_, reader_->Allocate(100));
  EXPECT_EQ(reader_->WaitForEnd(reader_->Pull(*source_, reader_->Allocate(100))), PullEnd::kFailed)
      << "beyond delayed_max";
  reader_->transport().Cancel(cancelled);
  EXPECT_EQ(reader_->WaitForEnd(cancelled), PullEnd::kCancelled);
  reader_->Stop();
  EXPECT_EQ(reader_->sink().pulls.at(open).ends, std::vector<PullEnd>{PullEnd::kFailed});
}

TEST_F(FaultTest, TheSameSeedHitsTheSameOperations) {
  std::vector<std::vector<PullEnd>> runs;
  for (const uint64_t seed : {41, 41, 42}) {
    Make({.seed = seed, .fail_pull = {.rate = 0.5}}, {});
    std::vector<PullEnd> ends;
    for (int i = 0; i < 64; ++i) {
      const RequestId pull = reader_->Pull(*source_, reader_->Allocate(8));
      reader_->transport().Cancel(pull);
      ends.push_back(reader_->WaitForEnd(pull));
    }
    runs.push_back(ends);
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
}

}  // namespace
}  // namespace weightmesh
