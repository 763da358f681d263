// Bad attaches at real daemons: each is refused with the thing and the cure, and nobody else
// notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/runtime/test_trainer.h"

namespace weightmesh {
namespace {

using attach::MessageType;
using attach::ReplyCode;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLimit = absl::Seconds(60);

// A run that waits for one more replica than ever comes.
attach::AttachRequest WaitingRequest(const std::string& name) {
  attach::AttachRequest request;
  request.run_id = "run";
  request.replica_name = name;
  request.replicas_min = 9;
  request.tensors = {{"a", attach::DataType::kFp32, {2, 3}}, {"b", attach::DataType::kFp32, {6}}};
  request.segment_bounds = {0, 6, 12};
  request.weights_digest_high = 1;
  request.weights_digest_low = 2;
  return request;
}

attach::AttachRequest LoneRequest(const std::string& run_id) {
  attach::AttachRequest request = WaitingRequest("lone");
  request.run_id = run_id;
  request.replicas_min = 1;
  return request;
}

attach::AttachRequest WithTensors(uint64_t tensors) {
  attach::AttachRequest request = WaitingRequest("many");
  request.tensors.clear();
  for (uint64_t k = 0; k < tensors; ++k) {
    request.tensors.push_back(
        {absl::StrCat("model.layers.", k, ".weight"), attach::DataType::kFp32, {2}});
  }
  request.segment_bounds = {0, tensors, 2 * tensors};
  return request;
}

// A trainer that has asked to attach.
std::unique_ptr<TestTrainer> Ask(const std::string& socket, const attach::AttachRequest& request) {
  auto trainer = std::make_unique<TestTrainer>(socket);
  EXPECT_TRUE(trainer->Send(MessageType::kAttachRequest, attach::Encode(request)));
  return trainer;
}

// Its answer, whatever progress it hears of before.
attach::AttachReply ReplyOf(TestTrainer* trainer) {
  attach::AttachReply reply;
  while (true) {
    const auto message = trainer->Receive();
    if (!message.has_value()) {
      ADD_FAILURE() << "no answer";
      return reply;
    }
    if (message->type() != MessageType::kAttachReply) continue;
    EXPECT_TRUE(attach::Decode(message->payload, &reply));
    return reply;
  }
}

attach::AttachReply Attach(const std::string& socket, const attach::AttachRequest& request) {
  return ReplyOf(Ask(socket, request).get());
}

class AttachTest : public testing::Test {
 protected:
  static MeshOptions Options() {
    MeshOptions options;
    options.config =
        "membership { sync_interval_ms: 100 }\n"
        "limits { replicas_max: 3 segments_max: 8 arena_bytes_max: 33554432 }\n";
    return options;
  }

  // The founder of "run" at daemon 0, which daemon 1 has heard of.
  void Found(const attach::AttachRequest& request = WaitingRequest("founder")) {
    founder_ = Ask(mesh_.socket(0), request);
    ASSERT_TRUE(Mesh::Await([&] { return mesh_.Topology(1, "run").replicas_size() == 1; }, kLimit));
  }

  Mesh mesh_{2, Options()};
  std::unique_ptr<TestTrainer> founder_;
};

TEST_F(AttachTest, AnotherRunConfigIsNamedByItsField) {
  Found();
  struct Case {
    const char* field;
    std::function<void(attach::AttachRequest*)> change;
  };
  const Case cases[] = {
      {"RunConfig.seed", [](auto* r) { r->seed = 9; }},
      {"RunConfig.schedule", [](auto* r) { r->schedule = attach::ScheduleKind::kDerangement; }},
      {"RunConfig.mode", [](auto* r) { r->mode = attach::Mode::kOverlap; }},
      {"RunConfig.mode",
       [](auto* r) { r->mode = attach::Mode::kAsync, r->staleness_rounds_max = 8; }},
      {"RunConfig.wire", [](auto* r) { r->wire = WireFormat::kBf16; }},
      {"RunConfig.alpha", [](auto* r) { r->alpha = 0.25; }},
      {"RunConfig.round_deadline", [](auto* r) { r->round_deadline_ms = 4000; }},
      {"RunConfig.replicas_min", [](auto* r) { r->replicas_min = 8; }},
      {"start_round", [](auto* r) { r->start_round = 5; }},
      {"allow_different_init", [](auto* r) { r->allow_different_init = 1; }},
      {"initial weights", [](auto* r) { r->weights_digest_low = 7; }},
  };
  for (const Case& one : cases) {
    attach::AttachRequest request = WaitingRequest("other");
    one.change(&request);
    for (int k : {0, 1}) {
      const attach::AttachReply reply = Attach(mesh_.socket(k), request);
      EXPECT_EQ(reply.code, ReplyCode::kMismatch) << one.field << " at daemon " << k;
      EXPECT_THAT(reply.message, AllOf(HasSubstr(one.field), HasSubstr("another run_id")));
    }
  }
}

// No trainer of the run is attached to daemon 1: it asks daemon 0.
TEST_F(AttachTest, AnotherSchemaIsNamedByItsFirstTensorThatDiffersFromAnotherDaemonsToo) {
  Found();
  attach::AttachRequest request = WaitingRequest("other");
  request.tensors[1].name = "c";
  for (int k : {0, 1}) {
    const attach::AttachReply reply = Attach(mesh_.socket(k), request);
    EXPECT_EQ(reply.code, ReplyCode::kMismatch);
    EXPECT_THAT(reply.message, HasSubstr("tensor 1 is 'c' [6] here and 'b' [6] in the run")) << k;
  }
}

// Several megabytes of schema, and the last tensor differs.
TEST_F(AttachTest, AHundredThousandTensorsAreComparedAcrossDaemons) {
  Found(WithTensors(100'000));
  attach::AttachRequest request = WithTensors(100'000);
  request.replica_name = "other";
  request.tensors.back().name = "model.head.weight";
  const attach::AttachReply reply = Attach(mesh_.socket(1), request);
  EXPECT_EQ(reply.code, ReplyCode::kMismatch);
  EXPECT_THAT(reply.message, HasSubstr("tensor 99999 is 'model.head.weight' [2] here and "
                                       "'model.layers.99999.weight' [2] in the run"));
}

TEST_F(AttachTest, WhereTheOtherDaemonDoesNotAnswerTheDigestsAreNamed) {
  Found();
  attach::AttachRequest request = WaitingRequest("other");
  request.tensors[1].name = "c";
  mesh_.daemon(0).Signal(SIGSTOP);
  const attach::AttachReply reply = Attach(mesh_.socket(1), request);
  mesh_.daemon(0).Signal(SIGCONT);
  EXPECT_EQ(reply.code, ReplyCode::kMismatch);
  EXPECT_THAT(reply.message, AllOf(HasSubstr("the schema (tensor names"),
                                   HasSubstr("another run_id"), Not(HasSubstr("tensor 1"))));
}

TEST_F(AttachTest, ANameIsUsedOnce) {
  Found();
  for (int k : {0, 1}) {
    const attach::AttachReply reply = Attach(mesh_.socket(k), WaitingRequest("founder"));
    EXPECT_EQ(reply.code, ReplyCode::kNameInUse) << k;
    EXPECT_THAT(reply.message, AllOf(HasSubstr("already named founder"), HasSubstr("its own")));
  }
}

TEST_F(AttachTest, LimitsAreNamedAndGoodTrainersGoOn) {
  attach::AttachRequest segments = LoneRequest("segments");
  segments.segment_bounds = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12};
  const attach::AttachReply too_many_segments = Attach(mesh_.socket(0), segments);
  EXPECT_EQ(too_many_segments.code, ReplyCode::kLimit);
  EXPECT_THAT(too_many_segments.message,
              AllOf(HasSubstr("9 segments"), HasSubstr("limits.segments_max")));

  attach::AttachRequest bytes = LoneRequest("bytes");
  bytes.tensors[0].shape = {1u << 30};
  bytes.segment_bounds = {0, (1u << 30) + 6};
  const attach::AttachReply too_many_bytes = Attach(mesh_.socket(0), bytes);
  EXPECT_EQ(too_many_bytes.code, ReplyCode::kLimit);
  EXPECT_THAT(too_many_bytes.message, HasSubstr("limits.arena_bytes_max"));

  attach::AttachRequest empty = LoneRequest("empty");
  empty.tensors.clear();
  const attach::AttachReply no_tensors = Attach(mesh_.socket(0), empty);
  EXPECT_EQ(no_tensors.code, ReplyCode::kInvalid);
  EXPECT_THAT(no_tensors.message, HasSubstr("no tensors"));

  std::vector<std::unique_ptr<TestTrainer>> good;
  for (int k = 0; k < 3; ++k) {
    good.push_back(Ask(mesh_.socket(0), LoneRequest(absl::StrCat("run", k))));
    EXPECT_EQ(ReplyOf(good.back().get()).code, ReplyCode::kOk);
  }
  const attach::AttachReply too_many = Attach(mesh_.socket(0), LoneRequest("run3"));
  EXPECT_EQ(too_many.code, ReplyCode::kLimit);
  EXPECT_THAT(too_many.message, AllOf(HasSubstr("3 replicas"), HasSubstr("limits.replicas_max")));
  // The others hold their places; a place that comes free is taken again.
  good.pop_back();
  EXPECT_TRUE(Mesh::Await(
      [&] {
        auto next = Ask(mesh_.socket(0), LoneRequest("run4"));
        return ReplyOf(next.get()).code == ReplyCode::kOk;
      },
      kLimit));
}

TEST_F(AttachTest, AHundredThousandTensorsAttach) {
  attach::AttachRequest request = WithTensors(100'000);
  request.replicas_min = 1;
  const attach::AttachReply reply = Attach(mesh_.socket(0), request);
  EXPECT_EQ(reply.code, ReplyCode::kOk) << reply.message;
}

// Rubbish, half a message and 200 connections that say nothing, while a run trains.
TEST(AttachNoiseTest, WhoSaysNothingOrRubbishDisturbsNobody) {
  Mesh mesh(2);
  std::vector<std::unique_ptr<TestTrainer>> silent;
  for (int k = 0; k < 200; ++k) silent.push_back(std::make_unique<TestTrainer>(mesh.socket(0)));
  TestTrainer half(mesh.socket(0));
  EXPECT_TRUE(half.SendBytes(
      TestTrainer::Frame(MessageType::kAttachRequest, attach::Encode(LoneRequest("half")))
          .substr(0, 40)));
  TestTrainer rubbish(mesh.socket(0));
  EXPECT_TRUE(rubbish.SendBytes(std::string(4096, '\xa5')));
  EXPECT_FALSE(rubbish.Receive().has_value());

  GossipOptions options;
  options.run_id = "undisturbed";
  options.replicas = 2;
  options.steps = 50;
  options.parameters = 20'000;
  GossipRun run(&mesh, options);
  for (int k = 0; k < 2; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.alone, 0u);
    EXPECT_EQ(result.Pulls(Outcome::kArrived), options.steps * options.segments)
        << result.DescribePulls();
  }
  for (const auto& trainer : silent) EXPECT_FALSE(trainer->Receive().has_value());
  EXPECT_FALSE(half.Receive().has_value());
  EXPECT_EQ(Attach(mesh.socket(0), LoneRequest("after")).code, ReplyCode::kOk);
}

}  // namespace
}  // namespace weightmesh
