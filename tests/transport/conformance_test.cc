// The conformance suite: the contract of daemon/transport/transport.h, test by test.
#include "tests/transport/conformance.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/transport/transport_node.h"

namespace weightmesh {
namespace {

using wire::Verdict;

// Waits for a counter that no callback announces.
bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST_P(TransportConformance, LandsExactlyTheBytes) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const std::vector<size_t> sizes = {
      1,       2,    63,   64,    65,     1000,   4095,     8140,
      8191,    8192, 8193, 65536, 100003, 262144, 1u << 20, (4u << 20) + 17,
      8u << 20};
  for (size_t i = 0; i < sizes.size(); ++i) {
    SCOPED_TRACE(sizes[i]);
    const auto data = source.AllocatePattern(sizes[i], i);
    const auto landing = reader.Allocate(sizes[i]);
    const RequestId pull = reader.Pull(source, landing, 3);
    const SendId send = source.Send(source.WaitForRequest(i), data);
    EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
    EXPECT_TRUE(source.WaitForSent(send));
    EXPECT_TRUE(HoldsPattern(landing, i));
  }
}

TEST_P(TransportConformance, CarriesEveryFieldBothWays) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto data = source.AllocatePattern(100, 5);
  const RequestId pull = reader.Pull(source, reader.Allocate(100), 3);
  const PullRequest request = source.WaitForRequest();
  EXPECT_EQ(request.peer, reader.id());
  EXPECT_EQ(request.request_id, pull);
  EXPECT_EQ(request.run_key, 7u);
  EXPECT_EQ(request.source, (ReplicaId{2, 1}));
  EXPECT_EQ(request.reader, (ReplicaId{1, 2}));
  EXPECT_EQ(request.round, Round{11});
  EXPECT_EQ(request.segment, SegmentId{3});
  EXPECT_EQ(request.remaining_ms, 5000u);
  EXPECT_EQ(request.newest_round, Round{12});

  source.Answer(request, Verdict::kQueued);
  source.Send(request, data);
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
  reader.sink().WaitFor([&](const RecordingSink& sink) {
    const auto& answers = sink.pulls.at(pull).answers;
    EXPECT_EQ(answers.size(), 2u);
    EXPECT_EQ(answers[0].verdict, Verdict::kQueued);
    EXPECT_EQ(answers[0].round, Round{9});
    EXPECT_EQ(answers[1].verdict, Verdict::kData);
    EXPECT_EQ(answers[1].round, Round{11});
    for (const PullAnswer& answer : answers) {
      EXPECT_EQ(answer.peer, source.id());
      EXPECT_EQ(answer.run_key, 7u);
      EXPECT_EQ(answer.segment, SegmentId{3});
      EXPECT_EQ(answer.newest_round, Round{13});
    }
    return true;
  });
}

TEST_P(TransportConformance, LandsManyAtOnceBothWays) {
  constexpr size_t kPulls = 256;
  TransportNode a(1, NewTransport());
  TransportNode b(2, NewTransport());
  Link(a, b);
  std::vector<absl::Span<std::byte>> landings;
  std::vector<size_t> sizes;
  for (size_t i = 0; i < kPulls; ++i) {
    sizes.push_back(i % 4 == 0 ? 100 + i : 32768 + 257 * i);
    TransportNode& reader = i % 2 == 0 ? a : b;
    landings.push_back(reader.Allocate(sizes[i]));
    reader.Pull(i % 2 == 0 ? b : a, landings[i], static_cast<uint32_t>(i));
  }
  std::vector<std::pair<TransportNode*, SendId>> sends;
  for (size_t i = 0; i < kPulls; ++i) {
    TransportNode& source = i % 2 == 0 ? b : a;
    const PullRequest request = source.WaitForRequest(i / 2);
    const uint32_t segment = Value(request.segment);
    ASSERT_LT(segment, kPulls);
    sends.emplace_back(&source,
                       source.Send(request, source.AllocatePattern(sizes[segment], segment)));
  }
  for (auto& [source, send] : sends) EXPECT_TRUE(source->WaitForSent(send));
  for (size_t i = 0; i < kPulls; ++i) {
    TransportNode& reader = i % 2 == 0 ? a : b;
    EXPECT_EQ(reader.WaitForEnd(RequestId{i / 2 + 1}), PullEnd::kLanded);
    EXPECT_TRUE(HoldsPattern(landings[i], i)) << i;
  }
}

TEST_P(TransportConformance, WaitsBeforeData) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto landing = reader.Allocate(70000);
  const RequestId pull = reader.Pull(source, landing);
  const PullRequest request = source.WaitForRequest();
  source.Answer(request, Verdict::kWaiting);
  EXPECT_TRUE(reader.sink().WaitFor([&](const RecordingSink& sink) {
    const auto found = sink.pulls.find(pull);
    return found != sink.pulls.end() && found->second.answers.size() == 1 &&
           found->second.answers[0].verdict == Verdict::kWaiting && found->second.ends.empty();
  }));
  EXPECT_TRUE(source.WaitForSent(source.Send(request, source.AllocatePattern(70000, 1))));
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
  EXPECT_TRUE(HoldsPattern(landing, 1));
}

TEST_P(TransportConformance, FinalVerdictsEndAPullWithoutData) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto landing = reader.Allocate(1000);
  size_t nth = 0;
  for (const Verdict verdict :
       {Verdict::kGone, Verdict::kSkipped, Verdict::kBusy, Verdict::kDead}) {
    const RequestId pull = reader.Pull(source, landing);
    const PullRequest request = source.WaitForRequest(nth++);
    source.Answer(request, verdict);
    EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kNoData);
    // A source that goes on answering is ignored, and its data is declined.
    source.Answer(request, verdict);
    EXPECT_FALSE(source.WaitForSent(source.Send(request, source.Allocate(1000))));
    reader.sink().WaitFor([&](const RecordingSink& sink) {
      EXPECT_EQ(sink.pulls.at(pull).answers.size(), 1u);
      EXPECT_EQ(sink.pulls.at(pull).answers[0].verdict, verdict);
      return true;
    });
  }
  EXPECT_TRUE(IsUntouched(landing));
}

TEST_P(TransportConformance, DataOfACancelledPullNeverLands) {
  for (const size_t bytes : {size_t{100}, size_t{3} << 20}) {
    SCOPED_TRACE(bytes);
    TransportNode reader(1, NewTransport());
    TransportNode source(2, NewTransport());
    Link(reader, source);
    const auto landing = reader.Allocate(bytes);
    const RequestId pull = reader.Pull(source, landing);
    const PullRequest request = source.WaitForRequest();
    reader.transport().Cancel(pull);
    EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kCancelled);
    EXPECT_TRUE(source.sink().WaitFor(
        [&](const RecordingSink& sink) { return sink.cancels == std::vector<RequestId>{pull}; }));
    EXPECT_FALSE(source.WaitForSent(source.Send(request, source.AllocatePattern(bytes, 1))));
    reader.transport().Cancel(pull);  // of a pull that ended: nothing

    // The link works on.
    const auto second = reader.Allocate(bytes);
    const RequestId next = reader.Pull(source, second);
    source.Send(source.WaitForRequest(1), source.AllocatePattern(bytes, 2));
    EXPECT_EQ(reader.WaitForEnd(next), PullEnd::kLanded);
    EXPECT_TRUE(HoldsPattern(second, 2));
    EXPECT_TRUE(IsUntouched(landing));
  }
}

TEST_P(TransportConformance, CancelUnderWayEndsOnce) {
  constexpr size_t kBytes = 8u << 20;
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto landing = reader.Allocate(kBytes);
  const auto data = source.AllocatePattern(kBytes, 1);
  const RequestId pull = reader.Pull(source, landing);
  const SendId send = source.Send(source.WaitForRequest(), data);
  EXPECT_TRUE(
      reader.sink().WaitFor([&](const RecordingSink& sink) { return sink.pulls.count(pull) > 0; }));
  reader.transport().Cancel(pull);
  // Begun data may land; then it must be whole, and the source must know the same.
  const PullEnd end = reader.WaitForEnd(pull);
  const bool sent = source.WaitForSent(send);
  if (end == PullEnd::kLanded) {
    EXPECT_TRUE(HoldsPattern(landing, 1));
    EXPECT_TRUE(sent);
  }
  std::fill(landing.begin(), landing.end(), kUntouched);
  const auto second = reader.Allocate(kBytes);
  const RequestId next = reader.Pull(source, second);
  source.Send(source.WaitForRequest(1), data);
  EXPECT_EQ(reader.WaitForEnd(next), PullEnd::kLanded);
  EXPECT_TRUE(IsUntouched(landing)) << "written after its end";
}

TEST_P(TransportConformance, RefusesAndCountsUnknownTokens) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  source.transport().Connect({reader.id(), reader.transport().address(), 501, 502});
  reader.transport().Connect({source.id(), source.transport().address(), 666, 501});
  const RequestId pull = reader.Pull(source, reader.Allocate(1000));
  EXPECT_TRUE(Eventually([&] { return source.transport().frames_refused() == 1; }));
  reader.transport().Cancel(pull);
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kCancelled);
  EXPECT_TRUE(Eventually([&] { return source.transport().frames_refused() == 2; }));

  // Nor are answers and data taken from one who does not know the token.
  const RequestId second = reader.Pull(source, reader.Allocate(1000));
  source.transport().Connect({reader.id(), reader.transport().address(), 777, 502});
  PullRequest forged;
  forged.peer = reader.id();
  forged.request_id = second;
  source.Answer(forged, Verdict::kGone);
  EXPECT_TRUE(Eventually([&] { return reader.transport().frames_refused() == 1; }));
  EXPECT_FALSE(source.WaitForSent(source.Send(forged, source.Allocate(1000))));
  EXPECT_FALSE(source.WaitForSent(source.Send(forged, source.Allocate(1u << 20))));
  EXPECT_EQ(reader.transport().frames_refused(), 3u);
  source.Stop();
  EXPECT_TRUE(source.sink().requests.empty());
}

TEST_P(TransportConformance, AStoppedPeerFailsItsPullsAndCanComeBack) {
  TransportNode reader(1, NewTransport());
  auto source = std::make_unique<TransportNode>(2, NewTransport());
  Link(reader, *source);
  const auto landing = reader.Allocate(100000);
  const RequestId landed = reader.Pull(*source, landing);
  source->Send(source->WaitForRequest(), source->AllocatePattern(100000, 1));
  EXPECT_EQ(reader.WaitForEnd(landed), PullEnd::kLanded);

  std::vector<RequestId> open;
  for (int i = 0; i < 5; ++i) open.push_back(reader.Pull(*source, reader.Allocate(100)));
  source->WaitForRequest(5);
  source->Stop();
  for (const RequestId pull : open) EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kFailed);
  EXPECT_TRUE(reader.sink().WaitFor([&](const RecordingSink& sink) {
    return sink.links_down == std::vector<NodeId>{source->id()};
  }));

  // The link stays known, so that the next use is an attempt, and its failure another break.
  EXPECT_EQ(reader.WaitForEnd(reader.Pull(*source, reader.Allocate(100))), PullEnd::kFailed);
  EXPECT_TRUE(
      reader.sink().WaitFor([](const RecordingSink& sink) { return sink.links_down.size() == 2; }));

  source = std::make_unique<TransportNode>(2, NewTransport());
  Link(reader, *source);
  const RequestId again = reader.Pull(*source, landing);
  source->Send(source->WaitForRequest(), source->AllocatePattern(100000, 2));
  EXPECT_EQ(reader.WaitForEnd(again), PullEnd::kLanded);
  EXPECT_TRUE(HoldsPattern(landing, 2));
}

TEST_P(TransportConformance, AStoppedReaderFailsTheSends) {
  TransportNode source(2, NewTransport());
  auto reader = std::make_unique<TransportNode>(1, NewTransport());
  Link(*reader, source);
  reader->Pull(source, reader->Allocate(2u << 20));
  const PullRequest request = source.WaitForRequest();
  source.Answer(request, Verdict::kWaiting);
  reader->Stop();
  EXPECT_FALSE(source.WaitForSent(source.Send(request, source.AllocatePattern(2u << 20, 1))));
}

TEST_P(TransportConformance, ForcedDisconnectFailsWhatIsOpen) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto landing = reader.Allocate(1000);
  const RequestId open = reader.Pull(source, landing);
  const PullRequest request = source.WaitForRequest();
  reader.transport().Disconnect(source.id(), true);
  EXPECT_EQ(reader.WaitForEnd(open), PullEnd::kFailed);
  EXPECT_EQ(reader.WaitForEnd(reader.Pull(source, landing)), PullEnd::kFailed);
  EXPECT_FALSE(source.WaitForSent(source.Send(request, source.AllocatePattern(1000, 1))));
  EXPECT_TRUE(IsUntouched(landing));
  reader.Stop();
  EXPECT_TRUE(reader.sink().links_down.empty());
}

TEST_P(TransportConformance, DisconnectLetsTransfersEnd) {
  constexpr size_t kBytes = 4u << 20;
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto landing = reader.Allocate(kBytes);
  const RequestId open = reader.Pull(source, landing);
  const PullRequest request = source.WaitForRequest();
  reader.transport().Disconnect(source.id(), false);
  EXPECT_EQ(reader.WaitForEnd(reader.Pull(source, reader.Allocate(10))), PullEnd::kFailed)
      << "nothing new";
  const SendId send = source.Send(request, source.AllocatePattern(kBytes, 1));
  source.transport().Disconnect(reader.id(), false);
  EXPECT_EQ(reader.WaitForEnd(open), PullEnd::kLanded);
  EXPECT_TRUE(HoldsPattern(landing, 1));
  EXPECT_TRUE(source.WaitForSent(send));
  reader.Stop();
  EXPECT_TRUE(reader.sink().links_down.empty());
}

TEST_P(TransportConformance, ConnectReplacesALink) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto landing = reader.Allocate(5000);
  const RequestId former = reader.Pull(source, landing);
  source.WaitForRequest();
  Link(reader, source);
  EXPECT_EQ(reader.WaitForEnd(former), PullEnd::kFailed);
  const RequestId next = reader.Pull(source, landing);
  source.Send(source.WaitForRequest(1), source.AllocatePattern(5000, 1));
  EXPECT_EQ(reader.WaitForEnd(next), PullEnd::kLanded);
  EXPECT_TRUE(HoldsPattern(landing, 1));
}

TEST_P(TransportConformance, NothingReachesAPeerThatIsNotConnected) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  EXPECT_EQ(reader.WaitForEnd(reader.Pull(source, reader.Allocate(10))), PullEnd::kFailed);
  PullRequest request;
  request.peer = source.id();
  reader.Answer(request, Verdict::kGone);
  EXPECT_FALSE(reader.WaitForSent(reader.Send(request, reader.Allocate(10))));
  reader.transport().Disconnect(source.id(), true);
  reader.transport().Cancel(RequestId{99});
}

TEST_P(TransportConformance, OnlyRegisteredMemoryIsUsed) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  std::vector<std::byte> foreign(1000);
  EXPECT_EQ(reader.WaitForEnd(reader.Pull(source, absl::MakeSpan(foreign))), PullEnd::kFailed);
  const RequestId pull = reader.Pull(source, reader.Allocate(1000));
  const PullRequest request = source.WaitForRequest();
  EXPECT_FALSE(source.WaitForSent(source.Send(request, foreign)));
  source.Answer(request, Verdict::kGone);
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kNoData);

  const auto memory = absl::MakeSpan(foreign);
  ASSERT_TRUE(source.transport().Register(memory, MemoryKind::kHost).ok());
  EXPECT_FALSE(source.transport().Register(memory.subspan(10, 10), MemoryKind::kHost).ok());
  source.transport().Unregister(memory);
  EXPECT_TRUE(source.transport().Register(memory, MemoryKind::kHost).ok());
  source.transport().Unregister(memory);
}

TEST_P(TransportConformance, StopEndsEverything) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  std::vector<PullRequest> requests;
  for (size_t i = 0; i < 20; ++i) {
    reader.Pull(source, reader.Allocate(1u << 20));
    requests.push_back(source.WaitForRequest(i));
  }
  const auto data = source.AllocatePattern(1u << 20, 1);
  for (const PullRequest& request : requests) source.Send(request, data);
  source.Stop();
  EXPECT_EQ(source.sink().sends.size(), 20u) << "Stop returned before the ends";
  reader.Stop();
  EXPECT_EQ(reader.sink().pulls.size(), 20u) << "Stop returned before the ends";
}

TEST_P(TransportConformance, PullsBeyondTheLimitHaveNoRoom) {
  TransportNode reader(1, NewTransport({.pulls_max = 4, .sends_max = 4}));
  TransportNode source(2, NewTransport());
  Link(reader, source);
  for (int i = 0; i < 5; ++i) reader.Pull(source, reader.Allocate(1000));
  EXPECT_EQ(reader.WaitForEnd(RequestId{5}), PullEnd::kNoRoom);
  for (size_t i = 0; i < 4; ++i) {
    source.Send(source.WaitForRequest(i), source.AllocatePattern(1000, i));
  }
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_EQ(reader.WaitForEnd(RequestId{i}), PullEnd::kLanded);
  const RequestId next = reader.Pull(source, reader.Allocate(1000));
  source.Send(source.WaitForRequest(4), source.AllocatePattern(1000, 1));
  EXPECT_EQ(reader.WaitForEnd(next), PullEnd::kLanded);
}

TEST_P(TransportConformance, ManyRoundsReuseTheTables) {
  TransportNode reader(1, NewTransport({.pulls_max = 8, .sends_max = 8}));
  TransportNode source(2, NewTransport({.pulls_max = 8, .sends_max = 8}));
  Link(reader, source);
  const auto landing = reader.Allocate(20000);
  const auto data = source.AllocatePattern(20000, 1);
  for (size_t i = 0; i < 200; ++i) {
    const RequestId pull = reader.Pull(source, landing);
    const SendId send = source.Send(source.WaitForRequest(i), data);
    ASSERT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
    ASSERT_TRUE(source.WaitForSent(send));
  }
}

TEST_P(TransportConformance, ReportsAPathForEachPeer) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  EXPECT_TRUE(reader.transport().Paths().empty());
  Link(reader, source);
  const RequestId pull = reader.Pull(source, reader.Allocate(1000));
  source.Send(source.WaitForRequest(), source.AllocatePattern(1000, 1));
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
  std::vector<PathReport> paths = reader.transport().Paths();
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(paths[0].peer, source.id());
  EXPECT_FALSE(paths[0].transport.empty());
  EXPECT_FALSE(paths[0].device.empty());
  reader.transport().Disconnect(source.id(), true);
  EXPECT_TRUE(Eventually([&] { return reader.transport().Paths().empty(); }));
}

TEST_P(TransportConformance, ServesALinkToItself) {
  if (!GetParam().links_to_itself) GTEST_SKIP() << "not promised by this transport";
  TransportNode node(1, NewTransport());
  node.transport().Connect({node.id(), node.transport().address(), 5, 5});
  const auto landing = node.Allocate(100000);
  const RequestId pull = node.Pull(node, landing);
  const SendId send = node.Send(node.WaitForRequest(), node.AllocatePattern(100000, 1));
  EXPECT_EQ(node.WaitForEnd(pull), PullEnd::kLanded);
  EXPECT_TRUE(node.WaitForSent(send));
  EXPECT_TRUE(HoldsPattern(landing, 1));
  node.Pull(node, landing);
  node.WaitForRequest(1);
}

}  // namespace
}  // namespace weightmesh
