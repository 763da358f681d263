// Misuse of the C ABI: every wrong argument is WEIGHTMESH_INVALID with a message, and does nothing.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "client/include/weightmesh/weightmesh.h"
#include "client/include/weightmesh/weightmesh.hpp"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

extern "C" int weightmesh_header_is_c99(void);  // c_header.c

namespace weightmesh::client {
namespace {

class AbiTest : public testing::Test {
 protected:
  AbiTest() : model_({5, 40, 7}, 1) {
    options_.socket_path = daemon_.socket_path().c_str();
    options_.run_id = "run";
    options_.replica_name = "a";
    daemon_.on_collect = [this](uint64_t) {
      for (uint32_t k = 0; k < daemon_.layout().segments.size(); ++k) daemon_.SetOutcome(k, 0);
      return true;
    };
  }
  ~AbiTest() override { weightmesh_detach(handle_); }

  weightmesh_status Attach() {
    return weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(),
                             model_.tensors.size(), &handle_);
  }
  std::string message() const { return weightmesh_message(handle_); }

  FakeDaemon daemon_;
  TestModel model_;
  weightmesh_options options_ = WEIGHTMESH_INIT(weightmesh_options);
  weightmesh_handle* handle_ = nullptr;
};

TEST_F(AbiTest, WrongOptionsAreInvalidAndNamed) {
  static const uint64_t kDescending[] = {0, 30, 20, 52};
  static const uint64_t kEmpty[] = {0, 20, 20, 52};
  static const uint64_t kShort[] = {0, 20, 51};
  static const std::string kLongName(300, 'n');
  const struct {
    std::function<void(weightmesh_options*)> spoil;
    const char* named;
  } kTable[] = {
      {[](auto* o) { o->struct_size = 0; }, "struct_size"},
      {[](auto* o) { o->struct_size = sizeof(weightmesh_options) - 8; }, "struct_size"},
      {[](auto* o) { o->run_id = nullptr; }, "run_id"},
      {[](auto* o) { o->run_id = ""; }, "run_id"},
      {[](auto* o) { o->run_id = kLongName.c_str(); }, "run_id"},
      {[](auto* o) { o->replica_name = "two\nlines"; }, "replica_name"},
      {[](auto* o) { o->schedule = 4; }, "options.schedule is 4"},
      {[](auto* o) { o->mode = 4; }, "options.mode is 4"},
      {[](auto* o) { o->rejoin_timeout_ms = 3'600'001; },
       "options.rejoin_timeout_ms is 3600001: give 1 to 3600000"},
      {[](auto* o) { o->staleness_rounds_max = 8; }, "options.mode is not WEIGHTMESH_ASYNC"},
      {[](auto* o) { o->mode = WEIGHTMESH_OVERLAP, o->staleness_rounds_max = 8; },
       "options.staleness_rounds_max is 8 and options.mode is not WEIGHTMESH_ASYNC"},
      {[](auto* o) { o->mode = WEIGHTMESH_ASYNC, o->staleness_rounds_max = 1025; },
       "options.staleness_rounds_max is 1025: give 1 to 1024"},
      {[](auto* o) { o->wire = 3; }, "options.wire is 3"},
      {[](auto* o) { o->replicas_min = 5000; }, "replicas_min"},
      {[](auto* o) { o->alpha = 1.5; }, "alpha"},
      {[](auto* o) { o->alpha = -0.5; }, "alpha"},
      {[](auto* o) { o->alpha = std::numeric_limits<double>::quiet_NaN(); }, "alpha"},
      {[](auto* o) { o->round_deadline_ms = 9; }, "round_deadline_ms"},
      {[](auto* o) { o->round_deadline_ms = 3'600'001; }, "round_deadline_ms"},
      {[](auto* o) { o->segments = 53; }, "52 parameters"},
      {[](auto* o) { o->segment_bounds = kShort; }, "options.segments is 0"},
      {[](auto* o) { o->segments = 3, o->segment_bounds = kDescending; }, "segment_bounds[2]"},
      {[](auto* o) { o->segments = 3, o->segment_bounds = kEmpty; }, "segment_bounds[2]"},
      {[](auto* o) { o->segments = 2, o->segment_bounds = kShort; }, "from 0 to 51"},
      {[](auto* o) { o->start_round = ~uint64_t{0}; }, "start_round"},
      {[](auto* o) { o->allow_different_init = 2; }, "allow_different_init"},
      {[](auto* o) { o->slots = 1; }, "slots"},
      {[](auto* o) { o->slots = 9; }, "slots"},
      {[](auto* o) { o->mix_threads = 65; }, "mix_threads"},
      {[](auto* o) { o->start_timeout_ms = ~uint64_t{0}; }, "start_timeout_ms"},
  };
  const weightmesh_options good = options_;
  for (const auto& row : kTable) {
    options_ = good;
    row.spoil(&options_);
    EXPECT_EQ(Attach(), WEIGHTMESH_INVALID) << row.named;
    EXPECT_NE(message().find(row.named), std::string::npos) << message();
    weightmesh_detach(handle_);
    handle_ = nullptr;
  }
}

TEST_F(AbiTest, WrongTensorsAreInvalidAndNamed) {
  static const uint64_t kZero[] = {3, 0};
  static const uint64_t kHuge[] = {uint64_t{1} << 40, uint64_t{1} << 40};
  static const uint64_t kLarge[] = {uint64_t{1} << 43};
  using Tensors = std::vector<weightmesh_tensor>;
  const struct {
    std::function<void(Tensors*)> spoil;
    const char* named;
  } kTable[] = {
      {[](Tensors* t) { (*t)[1].name = nullptr; }, "tensors[1].name"},
      {[](Tensors* t) { (*t)[1].name = ""; }, "tensors[1].name"},
      {[](Tensors* t) { (*t)[2].name = "tensor0"; }, "tensors[2] has the name 'tensor0'"},
      {[](Tensors* t) { (*t)[1].shape = nullptr; }, "null shape"},
      {[](Tensors* t) {
         (*t)[1] = {"z", kZero, 2};
       },
       "extent 0 on axis 1"},
      {[](Tensors* t) {
         (*t)[1] = {"h", kHuge, 2};
       },
       "2^44"},
      {[](Tensors* t) {
         (*t)[0] = {"l", kLarge, 1}, (*t)[1] = {"m", kLarge, 1};
       },
       "2^44"},
      {[](Tensors* t) { (*t)[1].rank = 1000; }, "rank 1000"},
  };
  const Tensors good = model_.described;
  for (const auto& row : kTable) {
    model_.described = good;
    row.spoil(&model_.described);
    EXPECT_EQ(Attach(), WEIGHTMESH_INVALID) << row.named;
    EXPECT_NE(message().find(row.named), std::string::npos) << message();
    weightmesh_detach(handle_);
    handle_ = nullptr;
  }
}

TEST_F(AbiTest, NullArgumentsAreInvalid) {
  const std::vector<float*> weights = model_.Pointers();
  const weightmesh_tensor* tensors = model_.described.data();
  const auto attach = [&](const weightmesh_options* options, const weightmesh_tensor* described,
                          const float* const* values, size_t count) {
    weightmesh_handle* handle = nullptr;
    const weightmesh_status status = weightmesh_attach(options, described, values, count, &handle);
    EXPECT_STRNE(weightmesh_message(handle), "");
    weightmesh_detach(handle);
    return status;
  };
  EXPECT_EQ(attach(nullptr, tensors, weights.data(), 3), WEIGHTMESH_INVALID);
  EXPECT_EQ(attach(&options_, nullptr, weights.data(), 3), WEIGHTMESH_INVALID);
  EXPECT_EQ(attach(&options_, tensors, nullptr, 3), WEIGHTMESH_INVALID);
  EXPECT_EQ(attach(&options_, tensors, weights.data(), 0), WEIGHTMESH_INVALID);
  std::vector<float*> hole = weights;
  hole[1] = nullptr;
  EXPECT_EQ(attach(&options_, tensors, hole.data(), 3), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_attach(&options_, tensors, weights.data(), 3, nullptr), WEIGHTMESH_INVALID);

  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  for (const auto& call : {weightmesh_exchange, weightmesh_step, weightmesh_mix}) {
    EXPECT_EQ(call(handle_, nullptr, 3, nullptr), WEIGHTMESH_INVALID);
    EXPECT_EQ(call(handle_, hole.data(), 3, nullptr), WEIGHTMESH_INVALID);
  }
  EXPECT_EQ(weightmesh_publish(handle_, nullptr, 3, nullptr), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_publish(handle_, hole.data(), 3, nullptr), WEIGHTMESH_INVALID);
  EXPECT_NE(message().find("weights[1]"), std::string::npos) << message();
  EXPECT_EQ(weightmesh_exchange(handle_, weights.data(), 2, nullptr), WEIGHTMESH_INVALID);
  hole[1] = reinterpret_cast<float*>(reinterpret_cast<char*>(weights[1]) + 1);
  EXPECT_EQ(weightmesh_exchange(handle_, hole.data(), 3, nullptr), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_stats(handle_, nullptr), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_exchange(handle_, weights.data(), 3, nullptr), WEIGHTMESH_OK) << message();
}

TEST_F(AbiTest, CallsOutOfOrderAreInvalidAndDoNothing) {
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  const std::vector<float*> weights = model_.Pointers();
  EXPECT_EQ(weightmesh_mix(handle_, weights.data(), 3, nullptr), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_step(handle_, weights.data(), 3, nullptr), WEIGHTMESH_INVALID);
  EXPECT_NE(message().find("weightmesh_exchange"), std::string::npos) << message();
  ASSERT_EQ(weightmesh_publish(handle_, weights.data(), 3, nullptr), WEIGHTMESH_OK) << message();
  EXPECT_EQ(weightmesh_publish(handle_, weights.data(), 3, nullptr), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_exchange(handle_, weights.data(), 3, nullptr), WEIGHTMESH_INVALID);
  weightmesh_round result = WEIGHTMESH_INIT(weightmesh_round);
  EXPECT_EQ(weightmesh_mix(handle_, weights.data(), 3, &result), WEIGHTMESH_OK) << message();
  EXPECT_EQ(result.round, 1u);
}

TEST_F(AbiTest, StructsOfALaterVersionKeepTheirEnd) {
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  struct Later {
    weightmesh_round round;
    uint64_t added;
  } later = {};
  later.round.struct_size = sizeof later;
  later.added = 42;
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 3, &later.round), WEIGHTMESH_OK);
  EXPECT_EQ(later.added, 42u);
  EXPECT_EQ(later.round.struct_size, sizeof later);
  EXPECT_EQ(later.round.round, 1u);
  weightmesh_round small = {};
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 3, &small), WEIGHTMESH_INVALID);
  EXPECT_NE(message().find("struct_size"), std::string::npos) << message();
}

TEST_F(AbiTest, ReportsReachTheControlPageUpToTheirLimit) {
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(weightmesh_report(handle_, "loss", 1.5), WEIGHTMESH_OK);
  EXPECT_EQ(weightmesh_report(handle_, "loss", 0.5), WEIGHTMESH_OK);
  const control_page::ControlPage& page = daemon_.page();
  EXPECT_EQ(page.scalar_count.load(), 1u);
  EXPECT_STREQ(page.scalars[0].name, "loss");
  EXPECT_EQ(std::bit_cast<double>(page.scalars[0].value_bits.load()), 0.5);
  EXPECT_EQ(weightmesh_report(handle_, nullptr, 1), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_report(handle_, "", 1), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_report(handle_, "loss\n", 1), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_report(handle_, std::string(32, 'x').c_str(), 1), WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_report(handle_, std::string(31, 'x').c_str(), 1), WEIGHTMESH_OK);
  for (uint32_t k = 2; k < control_page::kScalarsMax; ++k) {
    EXPECT_EQ(weightmesh_report(handle_, ("s" + std::to_string(k)).c_str(), k), WEIGHTMESH_OK);
  }
  EXPECT_EQ(weightmesh_report(handle_, "one more", 1), WEIGHTMESH_INVALID);
  EXPECT_NE(message().find("16"), std::string::npos) << message();
  EXPECT_EQ(weightmesh_report(handle_, "loss", 0.25), WEIGHTMESH_OK);
  EXPECT_EQ(page.scalar_count.load(), control_page::kScalarsMax);
}

TEST_F(AbiTest, NamesAndVersion) {
  EXPECT_STREQ(weightmesh_status_name(WEIGHTMESH_START_TIMEOUT), "START_TIMEOUT");
  EXPECT_STREQ(weightmesh_status_name(static_cast<weightmesh_status>(77)), "UNKNOWN");
  EXPECT_STREQ(weightmesh_version(), "0.1.0");
  EXPECT_EQ(weightmesh_header_is_c99(), 1);
}

// The C++ face.

class FaceTest : public AbiTest {
 protected:
  FaceTest() {
    face_.socket_path = daemon_.socket_path();
    face_.run_id = "run";
    for (size_t i = 0; i < model_.tensors.size(); ++i) {
      tensors_.push_back(
          {model_.names[i], {model_.tensor_parameters[i]}, model_.tensors[i].data()});
    }
  }

  Options face_;
  std::vector<Tensor> tensors_;
};

TEST_F(FaceTest, ATrainer) {
  std::string heard;
  face_.progress = [&](const char* message) { heard = message; };
  daemon_.on_request = [this](const attach::AttachRequest&) {
    daemon_.Send(attach::MessageType::kAttachProgress, "waiting");
    daemon_.Accept();
  };
  Replica replica(face_, tensors_);
  EXPECT_EQ(heard, "waiting");
  for (uint64_t round = 1; round <= 3; ++round) {
    const RoundResult result = replica.Exchange(tensors_);
    EXPECT_FALSE(result.alone);
    EXPECT_TRUE(result.published);
    EXPECT_EQ(result.round, round);
    replica.Report("loss", 1.0 / static_cast<double>(round));
  }
  Replica moved = std::move(replica);
  EXPECT_EQ(moved.Stats().rounds_mixed, 3u);
  moved.Publish(tensors_);
  EXPECT_EQ(moved.Mix(tensors_).round, 4u);
  moved.Leave();
  EXPECT_TRUE(moved.Exchange(tensors_).alone);
  EXPECT_TRUE(moved.alone());
}

TEST_F(FaceTest, BoundsCountTheirSegments) {
  face_.segment_bounds = {0, 10, 52};
  face_.mode = WEIGHTMESH_OVERLAP;
  Replica replica(face_, tensors_);
  EXPECT_EQ(daemon_.request().segment_bounds, face_.segment_bounds);
  EXPECT_TRUE(replica.Step(tensors_).published);
  EXPECT_THROW(replica.Exchange(tensors_), Error);
}

TEST_F(FaceTest, WithoutADaemonNothingIsThrown) {
  face_.socket_path += ".not";
  Replica replica(face_, tensors_);
  EXPECT_TRUE(replica.alone());
  EXPECT_TRUE(replica.Exchange(tensors_).alone);
  EXPECT_TRUE(replica.Step(tensors_).alone);
  replica.Report("loss", 1);
  EXPECT_EQ(replica.Stats().replicas, 0u);
  replica.Leave();
  EXPECT_NE(std::string(replica.message()).find("attach.sock.not"), std::string::npos);
}

TEST_F(FaceTest, NullPointersAreThrownNotFollowed) {
  std::vector<Tensor> hole = tensors_;
  hole[1].data = nullptr;
  EXPECT_THROW(Replica(face_, hole), Error);
  EXPECT_THROW(Replica(face_, {}), Error);
  Replica replica(face_, tensors_);
  EXPECT_THROW(replica.Exchange(hole), Error);
  EXPECT_THROW(replica.Exchange({}), Error);
  EXPECT_THROW(replica.Report(static_cast<const char*>(nullptr), 1), Error);
  EXPECT_EQ(replica.Exchange(tensors_).round, 1u);
}

TEST_F(FaceTest, AReplicaThatWasMovedAwayIsAnError) {
  Replica replica(face_, tensors_);
  const Replica moved = std::move(replica);
  try {
    replica.Exchange(tensors_);
    FAIL() << "a replica without a handle exchanged";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), WEIGHTMESH_INVALID);
    EXPECT_NE(std::string(error.what()).find("handle is null"), std::string::npos) << error.what();
  }
  EXPECT_STRNE(replica.message(), "");
  EXPECT_FALSE(moved.alone());
}

// What weightmesh.h says to do when alone.
TEST_F(FaceTest, AReplicaThatIsAloneIsReplacedByANewAttach) {
  Options nowhere = face_;
  nowhere.socket_path += ".not";
  Replica replica(nowhere, tensors_);
  EXPECT_TRUE(replica.Exchange(tensors_).alone);
  replica = Replica(face_, tensors_);
  EXPECT_FALSE(replica.alone());
  EXPECT_EQ(replica.Exchange(tensors_).round, 1u);
}

TEST_F(FaceTest, ErrorsAreThrownWithStatusAndMessage) {
  tensors_[1].name = tensors_[0].name;
  try {
    Replica replica(face_, tensors_);
    FAIL() << "two tensors of one name were accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), WEIGHTMESH_INVALID);
    EXPECT_NE(std::string(error.what()).find("tensor0"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace weightmesh::client
