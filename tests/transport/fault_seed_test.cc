// One seed gives one run of a FaultTransport, whatever the faults; and each operation ends once.
#include <vector>

#include "tests/transport/fault_fixture.h"

namespace weightmesh {
namespace {

// Pulls, one after the other, with every fault at both ends.
class RandomFaultsTest : public FaultTest {
 protected:
  struct Fates {
    std::vector<PullEnd> ends;
    FaultCounts reader;
    FaultCounts source;
    friend bool operator==(const Fates&, const Fates&) = default;
  };

  Fates Run(uint64_t seed) {
    const FaultRule rule{.rate = 0.2};
    const FaultOptions faults{.seed = seed,
                              .fail_pull = rule,
                              .drop_request = rule,
                              .drop_answer = rule,
                              .drop_cancel = rule,
                              .duplicate_request = rule,
                              .duplicate_answer = rule,
                              .duplicate_send = rule,
                              .fail_send = rule,
                              .corrupt = rule,
                              .tear = rule,
                              .stop_pull = rule,
                              .stop_send = rule};
    Make(faults, faults);
    passed_ = 0;
    cancels_ = 0;
    Fates fates;
    for (int i = 0; i < 128; ++i) fates.ends.push_back(PullOnce());
    fates.reader = reader_faults_->counts();
    fates.source = source_faults_->counts();
    return fates;
  }

 private:
  // Nothing of the pull is under way afterwards.
  PullEnd PullOnce() {
    const FaultCounts before = reader_faults_->counts();
    const RequestId pull = reader_->Pull(*source_, reader_->Allocate(8));
    const FaultCounts pulled = reader_faults_->counts();
    if (pulled.pulls_failed > before.pulls_failed) return reader_->WaitForEnd(pull);
    const bool dropped = pulled.requests_dropped > before.requests_dropped;
    if (dropped || !Serve()) {
      reader_->transport().Cancel(pull);
      if (!dropped) AwaitCancel();
    } else {
      EXPECT_TRUE(Await([&] {
        return HasEnded(pull) || reader_faults_->counts().pulls_stopped > before.pulls_stopped;
      }));
    }
    Link(*reader_, *source_);  // ends what has stopped
    return reader_->WaitForEnd(pull);
  }

  // Answers the request that has passed. False: the reader hears of no data.
  bool Serve() {
    const FaultCounts before = source_faults_->counts();
    const size_t first = static_cast<size_t>(passed_ + before.requests_duplicated);
    const PullRequest request = source_->WaitForRequest(first);
    ++passed_;
    source_->Answer(request, wire::Verdict::kWaiting);
    const SendId send = source_->Send(request, source_->AllocatePattern(8, 1));
    EXPECT_TRUE(Await([&] {
      return source_faults_->counts().sends_stopped > before.sends_stopped || HasEnded(send);
    }));
    return source_faults_->counts().sends_failed == before.sends_failed;
  }

  void AwaitCancel() {
    ++cancels_;
    EXPECT_TRUE(Await([&] {
      size_t heard = 0;
      source_->sink().WaitFor([&](const RecordingSink& sink) {
        heard = sink.cancels.size();
        return true;
      });
      return heard + source_faults_->counts().cancels_dropped == cancels_;
    }));
  }

  bool HasEnded(RequestId pull) {
    bool ended = false;
    reader_->sink().WaitFor([&](const RecordingSink& sink) {
      const auto found = sink.pulls.find(pull);
      ended = found != sink.pulls.end() && !found->second.ends.empty();
      return true;
    });
    return ended;
  }
  bool HasEnded(SendId send) {
    bool ended = false;
    source_->sink().WaitFor([&](const RecordingSink& sink) {
      ended = sink.sends.count(send) > 0;
      return true;
    });
    return ended;
  }

  uint64_t passed_ = 0;   // requests that reached the source, without duplicates
  uint64_t cancels_ = 0;  // that were sent
};

TEST_F(RandomFaultsTest, TheSameSeedGivesTheSameRun) {
  const uint64_t seed = 41;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const Fates first = Run(seed);
  EXPECT_EQ(first, Run(seed));
  EXPECT_NE(first, Run(seed + 1));
}

TEST_F(RandomFaultsTest, EveryFaultHits) {
  const uint64_t seed = 43;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const Fates fates = Run(seed);
  for (const uint64_t count :
       {fates.reader.pulls_failed, fates.reader.requests_dropped, fates.reader.corrupted,
        fates.reader.torn, fates.reader.pulls_stopped, fates.source.answers_dropped,
        fates.source.cancels_dropped, fates.source.requests_duplicated,
        fates.source.answers_duplicated, fates.source.sends_duplicated, fates.source.sends_failed,
        fates.source.sends_stopped}) {
    EXPECT_GT(count, 0u);
  }
}

}  // namespace
}  // namespace weightmesh
