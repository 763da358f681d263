// The example trainer in a mesh where trainers and daemons come and go: who joins goes on from the
// run's round, with its learning rate; who is drained ends with what it has.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "tests/process/mesh.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(60);
// More than are ever trained: a trainer ends when it is drained.
constexpr int kRounds = 1'000'000;
// While it warms up, the learning rate grows by so much a round.
constexpr double kRatePerRound = 8 / (0.4 * kRounds);

class Letter : public testing::Test {
 protected:
  std::unique_ptr<Child> Start(int k, std::vector<std::string> more = {}, int rounds = kRounds) {
    std::vector<std::string> arguments = {LETTER_TRAINER,
                                          "--socket=" + mesh_.socket(k),
                                          "--replicas=2",
                                          "--replica=" + std::to_string(k),
                                          "--rounds=" + std::to_string(rounds),
                                          "--report-every=1",
                                          "--round-deadline-ms=2000",
                                          "--pace-ms=10",
                                          "--result=" + ResultFile(k)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<Child>(std::move(arguments), mesh_.Folder() + "/letter.log");
  }
  std::string ResultFile(int k) const { return mesh_.Folder() + "/" + std::to_string(k) + ".json"; }

  v1::ReplicaStats Stats(int k) const {
    const v1::Stats stats = mesh_.Stats(k, "letter");
    return stats.replicas_size() == 0 ? v1::ReplicaStats() : stats.replicas(0);
  }
  bool AwaitRounds(int k, uint64_t more) const {
    uint64_t from = 0;  // until it has published
    const auto trained = [&] {
      const v1::ReplicaStats stats = Stats(k);
      if (stats.state() != v1::REPLICA_STATE_ACTIVE) return false;
      if (from == 0) from = stats.round();
      return from > 0 && stats.round() >= from + more;
    };
    return Mesh::Await(trained, kLimit);
  }
  double LearningRate(int k) const {
    const v1::ReplicaStats stats = Stats(k);
    for (const v1::Scalar& scalar : stats.scalars()) {
      if (scalar.name() == "learning_rate") return scalar.value();
    }
    return 0;
  }

  // What trainer `k` has written.
  google::protobuf::Struct Result(int k) const {
    std::ifstream file(ResultFile(k));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    google::protobuf::Struct result;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(text, &result).ok()) << text;
    return result;
  }
  // Empties daemon `k`; what its trainer has written then.
  google::protobuf::Struct Drain(int k, Child* trainer) {
    mesh_.daemon(k).Signal(SIGTERM);
    EXPECT_EQ(mesh_.daemon(k).Wait(kLimit), 0);
    EXPECT_EQ(trainer->Wait(kLimit), 0);
    return Result(k);
  }
  static double Number(const google::protobuf::Struct& result, const std::string& key) {
    return result.fields().at(key).number_value();
  }
  static bool Bool(const google::protobuf::Struct& result, const std::string& key) {
    return result.fields().at(key).bool_value();
  }

  Mesh mesh_{2};
};

TEST_F(Letter, WhoJoinsGoesOnFromTheRunsRound) {
  const auto stays = Start(0);
  auto comes = Start(1);
  ASSERT_TRUE(AwaitRounds(1, 20));
  comes->Signal(SIGKILL);
  comes->Wait(kLimit);
  const uint64_t killed_at = Stats(1).round();
  comes = Start(1, {"--join"});
  ASSERT_TRUE(AwaitRounds(1, 20));
  const double rate = LearningRate(1);

  const google::protobuf::Struct result = Drain(1, comes.get());
  EXPECT_TRUE(Bool(result, "drained"));
  EXPECT_FALSE(Bool(result, "alone"));
  EXPECT_EQ(Number(result, "rejoins"), 0);
  const double first = Number(result, "first_round");
  EXPECT_GT(first, killed_at);
  EXPECT_GE(rate, kRatePerRound * first);
  const auto& reports = result.fields().at("losses").list_value();
  ASSERT_GT(reports.values_size(), 1);
  EXPECT_EQ(Number(reports.values(0).struct_value(), "round"), first);
  const int last = reports.values_size() - 1;
  EXPECT_GE(Number(reports.values(last).struct_value(), "round"), first + 19);
}

TEST_F(Letter, ADaemonThatIsBackIsJoinedAgain) {
  const auto stays = Start(0);
  const auto comes = Start(1);
  ASSERT_TRUE(AwaitRounds(1, 20));
  mesh_.Kill(1);
  const uint64_t killed_at = Stats(0).round();
  ASSERT_TRUE(AwaitRounds(0, 20)) << "the other goes on";
  mesh_.Restart(1);
  ASSERT_TRUE(AwaitRounds(1, 20));
  // The round is the run's again, although it had trained alone at its own pace meanwhile.
  const uint64_t before = Stats(1).round();
  ASSERT_TRUE(AwaitRounds(1, 2));
  const double rate = LearningRate(1);
  EXPECT_GE(rate, kRatePerRound * static_cast<double>(before));
  EXPECT_LE(rate, kRatePerRound * static_cast<double>(Stats(1).round() + 1));

  const google::protobuf::Struct result = Drain(1, comes.get());
  EXPECT_TRUE(Bool(result, "drained"));
  EXPECT_FALSE(Bool(result, "alone")) << "not at the end";
  EXPECT_EQ(Number(result, "rejoins"), 1);
  EXPECT_GT(Number(result, "rounds_alone"), 0);
  EXPECT_EQ(Number(result, "first_round"), 1);
  EXPECT_GT(before, killed_at);
}

TEST_F(Letter, ReplicasThatAgreeEndWithOneModel) {
  const auto one = Start(0, {"--consensus=1e-9"}, /*rounds=*/30);
  const auto other = Start(1, {"--consensus=1e-9"}, /*rounds=*/30);
  EXPECT_EQ(one->Wait(kLimit), 0);
  EXPECT_EQ(other->Wait(kLimit), 0);
  for (int k : {0, 1}) {
    EXPECT_TRUE(Bool(Result(k), "agreed")) << "replica " << k;
    EXPECT_GT(Number(Result(k), "agreement_rounds"), 0);
    EXPECT_LE(Number(Result(k), "consensus_distance"), 1e-9);
  }
  EXPECT_EQ(Number(Result(0), "accuracy"), Number(Result(1), "accuracy"));
}

TEST_F(Letter, WhereNothingIsToBeJoinedTheExitCodeSaysSo) {
  EXPECT_EQ(Start(0, {"--join", "--start-timeout-ms=300"})->Wait(kLimit), 3);
}

}  // namespace
}  // namespace weightmesh
