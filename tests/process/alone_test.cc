// Alone is fine: a trainer whose daemon is absent, dies or restarts trains on, is told so, and
// attaches again.
//
// The trainers are this process, through the C ABI.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <vector>

#include "tests/process/mesh.h"
#include "weightmesh/weightmesh.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(60);

#define EXPECT_HAS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

class AloneTrainer {
 public:
  explicit AloneTrainer(std::string socket) : socket_(std::move(socket)) {}
  ~AloneTrainer() { weightmesh_detach(handle_); }
  AloneTrainer(const AloneTrainer&) = delete;
  AloneTrainer& operator=(const AloneTrainer&) = delete;

  // What weightmesh.h says to do when alone: detach, and attach anew with the weights as they are.
  weightmesh_status Attach(const std::string& run_id, const std::string& name = "a",
                           uint32_t replicas = 1) {
    weightmesh_detach(handle_);
    weightmesh_options options = WEIGHTMESH_INIT(weightmesh_options);
    options.socket_path = socket_.c_str();
    options.run_id = run_id.c_str();
    options.replica_name = name.c_str();
    options.replicas_min = replicas;
    options.allow_different_init = 1;
    options.round_deadline_ms = 1000;
    options.start_timeout_ms = 60'000;
    const uint64_t shape[] = {weights_.size()};
    const weightmesh_tensor tensor = {"weights", shape, 1};
    const float* const pointers[] = {weights_.data()};
    return weightmesh_attach(&options, &tensor, pointers, 1, &handle_);
  }

  weightmesh_status Exchange(weightmesh_round* round = nullptr) {
    float* const pointers[] = {weights_.data()};
    return weightmesh_exchange(handle_, pointers, 1, round);
  }
  weightmesh_status Leave() { return weightmesh_leave(handle_); }
  const char* message() const { return weightmesh_message(handle_); }
  std::vector<float>& weights() { return weights_; }

  // Trains on: each step changes the weights, and the mesh does not.
  void ExpectTrainsAlone() {
    for (int step = 0; step < 3; ++step) {
      for (float& weight : weights_) weight += 1;
      const std::vector<float> trained = weights_;
      weightmesh_round round = WEIGHTMESH_INIT(weightmesh_round);
      EXPECT_EQ(Exchange(&round), WEIGHTMESH_ALONE);
      EXPECT_EQ(round.round, 0u);
      EXPECT_EQ(weights_, trained);
      EXPECT_HAS(message(), socket_);
    }
  }

 private:
  const std::string socket_;
  std::vector<float> weights_ = std::vector<float>(1000, 0.5f);
  weightmesh_handle* handle_ = nullptr;
};

TEST(Alone, ADaemonThatComesLaterIsAttachedTo) {
  Mesh mesh(1);
  mesh.Kill(0);
  std::filesystem::remove(mesh.socket(0));  // as if it had never been
  AloneTrainer trainer(mesh.socket(0));
  EXPECT_EQ(trainer.Attach("run"), WEIGHTMESH_ALONE);
  EXPECT_HAS(trainer.message(), "start the daemon");
  trainer.ExpectTrainsAlone();
  EXPECT_EQ(trainer.Attach("run"), WEIGHTMESH_ALONE) << "there is none yet";
  mesh.Restart(0);
  ASSERT_EQ(trainer.Attach("run"), WEIGHTMESH_OK) << trainer.message();
  weightmesh_round round = WEIGHTMESH_INIT(weightmesh_round);
  EXPECT_EQ(trainer.Exchange(&round), WEIGHTMESH_OK) << trainer.message();
  EXPECT_EQ(round.round, 1u);
}

// Killed and stopped in the middle of a run; the run_id is free again, for nobody of it is left.
TEST(Alone, ADaemonThatRestartsIsAttachedToAgain) {
  // SIGTERM drains the trainer, which does not train meanwhile.
  Mesh mesh(1, {.config = "drain_deadline_ms: 500", .config_of = {}});
  AloneTrainer trainer(mesh.socket(0));
  for (const int how : {SIGKILL, SIGTERM}) {
    ASSERT_EQ(trainer.Attach("run"), WEIGHTMESH_OK) << trainer.message();
    for (int round = 0; round < 3; ++round) ASSERT_EQ(trainer.Exchange(), WEIGHTMESH_OK);
    mesh.Kill(0, how);
    trainer.ExpectTrainsAlone();
    EXPECT_EQ(trainer.Leave(), WEIGHTMESH_ALONE);
    EXPECT_EQ(trainer.Attach("run"), WEIGHTMESH_ALONE);
    mesh.Restart(0);
  }
  ASSERT_EQ(trainer.Attach("run"), WEIGHTMESH_OK) << trainer.message();
  EXPECT_EQ(trainer.Exchange(), WEIGHTMESH_OK);
}

// While another replica of the run lives, the run takes nobody back: that is said. Another run
// takes both; and so does the same run_id, once all of the old run are gone, wherever they were.
TEST(Alone, ARunTakesItsOwnIdAgainOnceAllOfItAreGone) {
  Mesh mesh(2);
  AloneTrainer a(mesh.socket(0));
  AloneTrainer b(mesh.socket(1));
  // Until each daemon has heard that nobody of the old run is left, it says that it has started.
  const auto until_free = [](AloneTrainer* trainer, const std::string& run_id, const char* name) {
    weightmesh_status status = WEIGHTMESH_REFUSED;
    Mesh::Await([&] { return (status = trainer->Attach(run_id, name, 2)) != WEIGHTMESH_REFUSED; },
                kLimit);
    return status;
  };
  const auto both_attach = [&](const std::string& run_id) {
    auto first = std::async(std::launch::async, [&] { return until_free(&a, run_id, "a"); });
    EXPECT_EQ(until_free(&b, run_id, "b"), WEIGHTMESH_OK) << b.message();
    EXPECT_EQ(first.get(), WEIGHTMESH_OK) << a.message();
  };
  both_attach("run");
  auto first = std::async(std::launch::async, [&] { return a.Exchange(); });
  EXPECT_EQ(b.Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(first.get(), WEIGHTMESH_OK);

  mesh.Kill(1);
  b.ExpectTrainsAlone();
  mesh.Restart(1);
  // The restarted daemon hears of the run from the other.
  ASSERT_TRUE(Mesh::Await([&] { return mesh.Topology(1, "run").replicas_size() == 2; }, kLimit));
  EXPECT_EQ(b.Attach("run", "b", 2), WEIGHTMESH_REFUSED);
  EXPECT_HAS(b.message(), "has started");
  EXPECT_EQ(a.Exchange(), WEIGHTMESH_OK) << "the one that is left is not disturbed";

  both_attach("another run");
  for (int round = 0; round < 2; ++round) {
    auto exchange = std::async(std::launch::async, [&] { return a.Exchange(); });
    EXPECT_EQ(b.Exchange(), WEIGHTMESH_OK);
    EXPECT_EQ(exchange.get(), WEIGHTMESH_OK);
  }

  for (int again = 0; again < 2; ++again) {
    both_attach("run");
    weightmesh_round round = WEIGHTMESH_INIT(weightmesh_round);
    auto exchange = std::async(std::launch::async, [&] { return a.Exchange(); });
    EXPECT_EQ(b.Exchange(&round), WEIGHTMESH_OK);
    EXPECT_EQ(exchange.get(), WEIGHTMESH_OK);
    EXPECT_EQ(round.round, 1u);
    EXPECT_EQ(round.pulls[WEIGHTMESH_ARRIVED], 18u);
  }
}

// The example trainer: its daemon is killed on the way; it says so once, naming the socket, and
// trains to its end.
TEST(Alone, TheExampleTrainerTrainsOnWithoutItsDaemon) {
  Mesh mesh(1);
  const std::string log = mesh.Folder() + "/letter.log";
  const std::string result = mesh.Folder() + "/letter.json";
  const auto contents = [](const std::string& path) {
    std::ifstream file(path);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  Child trainer({LETTER_TRAINER, "--socket=" + mesh.socket(0), "--run-id=letters", "--replicas=1",
                 "--replica=0", "--rounds=60", "--pace-ms=20", "--result=" + result},
                log, {});
  const auto rounds = [&] {
    const v1::Stats stats = mesh.Stats(0, "letters");
    return stats.replicas_size() == 0 ? 0 : stats.replicas(0).round();
  };
  ASSERT_TRUE(Mesh::Await([&] { return rounds() >= 3; }, kLimit)) << contents(log);
  mesh.Kill(0);
  EXPECT_EQ(trainer.Wait(2 * kLimit), 0) << contents(log);
  const std::string told = contents(log);
  EXPECT_HAS(told, mesh.socket(0));
  EXPECT_EQ(told.find("goes on alone"), told.rfind("goes on alone")) << told;
  EXPECT_HAS(contents(result), "\"alone\": true");
}

}  // namespace
}  // namespace weightmesh
