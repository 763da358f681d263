// The conformance suite: answers that lie. Whatever a source says, only what was asked lands.
#include <chrono>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "tests/transport/conformance.h"
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

TEST_P(TransportConformance, IgnoresAnswersOfAThird) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  TransportNode third(3, NewTransport());
  Link(reader, source);
  Link(reader, third);
  const auto landing = reader.Allocate(1000);
  const RequestId pull = reader.Pull(source, landing);
  const PullRequest request = source.WaitForRequest();
  PullRequest forged = request;
  forged.peer = reader.id();
  third.Answer(forged, Verdict::kGone);
  EXPECT_FALSE(third.WaitForSent(third.Send(forged, third.Allocate(1000))));
  EXPECT_TRUE(IsUntouched(landing));
  source.Send(request, source.AllocatePattern(1000, 1));
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
}

TEST_P(TransportConformance, DataOfAnotherLengthFailsWithoutOverflow) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  size_t nth = 0;
  for (const size_t bytes : {size_t{1000}, size_t{1} << 20}) {
    for (const size_t other : {bytes - 1, bytes + 1, bytes / 2, 2 * bytes, size_t{1}}) {
      SCOPED_TRACE(other);
      const auto landing = reader.Allocate(bytes);
      const RequestId pull = reader.Pull(source, landing);
      const SendId send =
          source.Send(source.WaitForRequest(nth++), source.AllocatePattern(other, 1));
      EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kFailed);
      EXPECT_FALSE(source.WaitForSent(send));
      EXPECT_TRUE(IsUntouched(landing));
      EXPECT_EQ(reader.transport().frames_refused(), nth);
    }
  }
}

// A source that answers with something else than was asked, or with old data: nothing lands.
TEST_P(TransportConformance, DataThatDoesNotFitItsRequestFailsThePull) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const auto another_run = [](PullRequest request) { return ++request.run_key, request; };
  const auto another_segment = [](PullRequest request) {
    request.segment = SegmentId{Value(request.segment) + 1};
    return request;
  };
  const auto an_old_round = [](PullRequest request) {
    request.round = Round{Value(request.round) - 1};
    return request;
  };
  const auto a_new_round = [](PullRequest request) {
    request.round = Next(request.round);
    return request;
  };
  size_t nth = 0;
  for (const size_t bytes : {size_t{1000}, size_t{1} << 20}) {
    for (const auto& lie : std::vector<std::function<PullRequest(PullRequest)>>{
             another_run, another_segment, an_old_round, a_new_round}) {
      const auto landing = reader.Allocate(bytes);
      const RequestId pull = reader.Pull(source, landing, 3);
      const auto data = source.AllocatePattern(bytes, 1);
      const SendId send = source.Send(lie(source.WaitForRequest(nth++)), data);
      EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kFailed) << nth;
      EXPECT_FALSE(source.WaitForSent(send));
      EXPECT_TRUE(IsUntouched(landing));
      EXPECT_EQ(reader.transport().frames_refused(), nth);
    }
  }
  const RequestId pull = reader.Pull(source, reader.Allocate(1000), 3);
  source.Send(source.WaitForRequest(nth), source.AllocatePattern(1000, 1));
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded) << "the link is as it was";
}

// Mode async: a range of rounds will do, and nothing beyond either end of it.
TEST_P(TransportConformance, DataOfAnAcceptedRoundLandsAndOfNoOther) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  reader.AcceptRounds(2, 20);
  const struct {
    uint64_t round;
    bool fits;
  } kCases[] = {{9, true},   {8, false}, {11, true},           {31, true},
                {32, false}, {0, false}, {~uint64_t{0}, false}};
  size_t nth = 0;
  size_t refused = 0;
  for (const auto& [round, fits] : kCases) {
    SCOPED_TRACE(round);
    const auto landing = reader.Allocate(1000);
    const RequestId pull = reader.Pull(source, landing, 3);  // of round 11
    PullRequest asked = source.WaitForRequest(nth++);
    asked.round = Round{round};
    source.Send(asked, source.AllocatePattern(1000, 1));
    EXPECT_EQ(reader.WaitForEnd(pull), fits ? PullEnd::kLanded : PullEnd::kFailed);
    EXPECT_EQ(IsUntouched(landing), !fits);
    refused += !fits;
    // Counted after the pull's end has been told.
    EXPECT_TRUE(Eventually([&] { return reader.transport().frames_refused() >= refused; }));
    EXPECT_EQ(reader.transport().frames_refused(), refused);
  }
}

TEST_P(TransportConformance, AVerdictThatDoesNotFitItsRequestIsNotHeard) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  Link(reader, source);
  const RequestId pull = reader.Pull(source, reader.Allocate(1000), 3);
  const PullRequest request = source.WaitForRequest();
  PullRequest other = request;
  ++other.run_key;
  source.Answer(other, Verdict::kGone);
  other = request;
  other.segment = SegmentId{4};
  source.Answer(other, Verdict::kWaiting);
  EXPECT_TRUE(Eventually([&] { return reader.transport().frames_refused() == 2; }));
  source.Answer(request, Verdict::kSkipped);
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kNoData);
  EXPECT_TRUE(reader.sink().WaitFor([&](const RecordingSink& sink) {
    const auto& answers = sink.pulls.at(pull).answers;
    return answers.size() == 1 && answers[0].verdict == Verdict::kSkipped;
  }));
}

}  // namespace
}  // namespace weightmesh
