// What FaultTransport does to the operations that it hits, and that each still ends exactly once.
#include "daemon/transport/fault.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "tests/transport/fault_fixture.h"

namespace weightmesh {
namespace {

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

TEST_F(FaultTest, ADuplicatedRequestIsServedOnce) {
  Make({}, {.duplicate_request = {.nth = 1}});
  const auto landing = reader_->Allocate(100);
  const RequestId pull = reader_->Pull(*source_, landing);
  const PullRequest request = source_->WaitForRequest(0);
  EXPECT_EQ(source_->WaitForRequest(1).request_id, request.request_id);
  const SendId first = source_->Send(request, source_->AllocatePattern(100, 1));
  const SendId second = source_->Send(request, source_->AllocatePattern(100, 2));
  EXPECT_TRUE(source_->WaitForSent(first));
  EXPECT_FALSE(source_->WaitForSent(second)) << "the reader has what it wanted";
  EXPECT_EQ(reader_->WaitForEnd(pull), PullEnd::kLanded);
  reader_->Stop();
  EXPECT_TRUE(HoldsPattern(landing, 1));
  EXPECT_EQ(source_faults_->counts().requests_duplicated, 1u);
}

TEST_F(FaultTest, ADuplicatedAnswerIsHeardTwiceAndEndsOnce) {
  Make({}, {.duplicate_answer = {.nth = 1}});
  const RequestId pull = reader_->Pull(*source_, reader_->Allocate(100));
  const PullRequest request = source_->WaitForRequest();
  source_->Answer(request, wire::Verdict::kWaiting);
  source_->Answer(request, wire::Verdict::kGone);
  EXPECT_EQ(reader_->WaitForEnd(pull), PullEnd::kNoData);
  reader_->Stop();
  EXPECT_EQ(reader_->sink().pulls.at(pull).answers.size(), 3u);

  Make({}, {.duplicate_answer = {.rate = 1}});
  const RequestId refused = reader_->Pull(*source_, reader_->Allocate(100));
  source_->Answer(source_->WaitForRequest(), wire::Verdict::kGone);
  EXPECT_EQ(reader_->WaitForEnd(refused), PullEnd::kNoData);
  reader_->Stop();
  EXPECT_EQ(reader_->sink().pulls.at(refused).answers.size(), 1u) << "an answer after the end";
}

TEST_F(FaultTest, ADuplicatedSendEndsOnce) {
  for (const uint32_t delay_ms : {0, 1}) {
    Make({}, {.duplicate_send = {.nth = 1}, .delay_ms_max = delay_ms});
    const RequestId pull = reader_->Pull(*source_, reader_->Allocate(100));
    const SendId send = source_->Send(source_->WaitForRequest(), source_->AllocatePattern(100, 1));
    EXPECT_EQ(reader_->WaitForEnd(pull), PullEnd::kLanded);
    EXPECT_TRUE(source_->WaitForSent(send));
    EXPECT_EQ(source_faults_->counts().sends_duplicated, 1u);
  }
}

TEST_F(FaultTest, ADroppedCancelIsNotHeard) {
  Make({}, {.drop_cancel = {.nth = 1}});
  for (int i = 0; i < 2; ++i) {
    const RequestId pull = reader_->Pull(*source_, reader_->Allocate(100));
    source_->WaitForRequest(i);
    reader_->transport().Cancel(pull);
    EXPECT_EQ(reader_->WaitForEnd(pull), PullEnd::kCancelled);
  }
  EXPECT_TRUE(
      source_->sink().WaitFor([](const RecordingSink& sink) { return !sink.cancels.empty(); }));
  source_->Stop();
  EXPECT_EQ(source_->sink().cancels, std::vector<RequestId>{RequestId{2}});
}

TEST_F(FaultTest, AStoppedPullEndsOnlyWithItsLinkAndLandsUntilThen) {
  Make({.stop_pull = {.nth = 1}}, {});
  const auto landing = reader_->Allocate(1000);
  const RequestId stopped = reader_->Pull(*source_, landing);
  EXPECT_TRUE(source_->WaitForSent(
      source_->Send(source_->WaitForRequest(), source_->AllocatePattern(1000, 1))));
  reader_->transport().Cancel(stopped);
  // What comes later on the same link ends before it.
  const RequestId later = reader_->Pull(*source_, reader_->Allocate(100));
  source_->Send(source_->WaitForRequest(1), source_->Allocate(100));
  EXPECT_EQ(reader_->WaitForEnd(later), PullEnd::kLanded);
  EXPECT_TRUE(reader_->sink().WaitFor([&](const RecordingSink& sink) {
    const auto& pull = sink.pulls.at(stopped);
    return pull.ends.empty() && pull.answers.size() == 1 &&
           pull.answers[0].verdict == wire::Verdict::kData;
  }));
  EXPECT_TRUE(HoldsPattern(landing.first(500), 1));
  EXPECT_TRUE(IsUntouched(landing.subspan(500)));

  reader_->transport().Disconnect(source_->id(), true);
  EXPECT_EQ(reader_->WaitForEnd(stopped), PullEnd::kFailed);
  EXPECT_TRUE(HoldsPattern(landing, 1)) << "the rest lands before the end";
  EXPECT_EQ(reader_faults_->counts().pulls_stopped, 1u);
}

TEST_F(FaultTest, AStoppedPullEndsWhenItsLinkIsReplacedOrDownOrAtTheStop) {
  Make({.stop_pull = {.rate = 1}}, {});
  size_t requests = 0;
  const auto stop_one = [&] {
    const RequestId pull = reader_->Pull(*source_, reader_->Allocate(100));
    const PullRequest request = source_->WaitForRequest(requests++);
    const uint64_t before = reader_faults_->counts().pulls_stopped;
    source_->Send(request, source_->Allocate(100));
    EXPECT_TRUE(Await([&] { return reader_faults_->counts().pulls_stopped > before; }));
    return pull;
  };
  const RequestId replaced = stop_one();
  Link(*reader_, *source_);
  EXPECT_EQ(reader_->WaitForEnd(replaced), PullEnd::kFailed);
  const RequestId at_stop = stop_one();
  reader_->Stop();
  EXPECT_EQ(reader_->sink().pulls.at(at_stop).ends, std::vector<PullEnd>{PullEnd::kFailed});

  Make({.stop_pull = {.rate = 1}}, {});
  requests = 0;
  const RequestId peer_gone = stop_one();
  source_->Stop();
  EXPECT_EQ(reader_->WaitForEnd(peer_gone), PullEnd::kFailed);
}

TEST_F(FaultTest, AStoppedSendKeepsItsMemoryUntilItsLinkIsClosed) {
  Make({}, {.stop_send = {.nth = 1}});
  const RequestId first = reader_->Pull(*source_, reader_->Allocate(100));
  const SendId stopped = source_->Send(source_->WaitForRequest(0), source_->Allocate(100));
  EXPECT_EQ(reader_->WaitForEnd(first), PullEnd::kLanded);
  reader_->Pull(*source_, reader_->Allocate(100));
  EXPECT_TRUE(
      source_->WaitForSent(source_->Send(source_->WaitForRequest(1), source_->Allocate(100))));
  EXPECT_TRUE(source_->sink().WaitFor(
      [&](const RecordingSink& sink) { return sink.sends.count(stopped) == 0; }));
  source_->transport().Disconnect(reader_->id(), true);
  EXPECT_FALSE(source_->WaitForSent(stopped));
  EXPECT_EQ(source_faults_->counts().sends_stopped, 1u);
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

}  // namespace
}  // namespace weightmesh
