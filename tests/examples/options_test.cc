// letter_trainer's command line.
#include "client/examples/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace letter {
namespace {

using ::testing::HasSubstr;

// What a command line came to, with what it printed.
struct Parsed {
  std::optional<Options> options;
  int exit_code = 0;
  std::string out;
  std::string error;
};

Parsed Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "letter_trainer");
  Parsed parsed;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  parsed.options =
      ParseCommandLine(static_cast<int>(arguments.size()), arguments.data(), &parsed.exit_code);
  parsed.out = ::testing::internal::GetCapturedStdout();
  parsed.error = ::testing::internal::GetCapturedStderr();
  return parsed;
}

void ExpectUsageError(const std::vector<const char*>& arguments, const std::string& message) {
  const Parsed parsed = Parse(arguments);
  EXPECT_FALSE(parsed.options.has_value()) << message;
  EXPECT_EQ(parsed.exit_code, 2) << message;
  EXPECT_THAT(parsed.error, HasSubstr(message));
}

TEST(CommandLine, HasDefaults) {
  const Options options = Parse({}).options.value();
  EXPECT_EQ(options.method, Method::kMesh);
  EXPECT_EQ(options.training.rounds, 280U);
  EXPECT_EQ(options.training.peak_learning_rate, DefaultLearningRate(Method::kMesh));
  EXPECT_EQ(options.mesh.mode, WEIGHTMESH_LOCKSTEP);
  EXPECT_EQ(options.mesh.schedule, WEIGHTMESH_HASH_CYCLE);
  EXPECT_EQ(options.score_on, ScoreOn::kTest);
  EXPECT_FALSE(options.all_replicas);
}

TEST(CommandLine, ReadsEveryOption) {
  const Options options = Parse({"--method",
                                 "mesh",
                                 "--replica",
                                 "3",
                                 "--replicas",
                                 "8",
                                 "--rounds",
                                 "20",
                                 "--seed",
                                 "5",
                                 "--lr",
                                 "2.5",
                                 "--pace-ms",
                                 "7",
                                 "--stall-ms",
                                 "50",
                                 "--report-every",
                                 "4",
                                 "--socket",
                                 "/a.sock",
                                 "--run-id",
                                 "job",
                                 "--mode",
                                 "overlap",
                                 "--schedule",
                                 "derangement",
                                 "--wire",
                                 "bf16",
                                 "--segments",
                                 "6",
                                 "--round-deadline-ms",
                                 "900",
                                 "--data",
                                 "/d",
                                 "--validate",
                                 "--result",
                                 "/r",
                                 "--weights",
                                 "/w"})
                              .options.value();
  EXPECT_EQ(options.training.replica, 3U);
  EXPECT_EQ(options.training.replicas, 8U);
  EXPECT_EQ(options.training.rounds, 20U);
  EXPECT_EQ(options.training.seed, 5U);
  EXPECT_EQ(options.training.peak_learning_rate, 2.5);
  EXPECT_EQ(options.training.pace.count(), 7);
  EXPECT_EQ(options.training.stall.count(), 50);
  EXPECT_EQ(options.training.report_every, 4U);
  EXPECT_EQ(options.mesh.seed, 5U);
  EXPECT_EQ(options.mesh.socket_path, "/a.sock");
  EXPECT_EQ(options.mesh.run_id, "job");
  EXPECT_EQ(options.mesh.mode, WEIGHTMESH_OVERLAP);
  EXPECT_EQ(options.mesh.schedule, WEIGHTMESH_DERANGEMENT);
  EXPECT_EQ(options.mesh.wire, WEIGHTMESH_BF16);
  EXPECT_EQ(options.mesh.segments, 6U);
  EXPECT_EQ(options.mesh.round_deadline_ms, 900U);
  EXPECT_EQ(options.data_file, "/d");
  EXPECT_EQ(options.score_on, ScoreOn::kValidation);
  EXPECT_EQ(options.result_file, "/r");
  EXPECT_EQ(options.weights_file, "/w");
}

TEST(CommandLine, TrainsAllReplicasWithoutAMeshUnlessOneIsChosen) {
  EXPECT_TRUE(Parse({"--method", "none", "--replicas", "4"}).options.value().all_replicas);
  EXPECT_FALSE(Parse({"--method", "none", "--replicas", "4", "--replica", "0"})
                   .options.value()
                   .all_replicas);
}

TEST(CommandLine, JoinsARun) {
  const Options options = Parse({"--join", "--start-timeout-ms", "3000"}).options.value();
  EXPECT_TRUE(options.mesh.join);
  EXPECT_EQ(options.mesh.start_timeout_ms, 3000U);
  EXPECT_FALSE(Parse({}).options.value().mesh.join);
  EXPECT_EQ(Parse({}).options.value().mesh.start_timeout_ms, 600000U);
  ExpectUsageError({"--method", "none", "--join"}, "--join belongs to --method mesh");
  EXPECT_TRUE(Parse({"--mode", "overlap", "--keep-up"}).options.value().mesh.keep_up);
  EXPECT_EQ(Parse({"--consensus", "1e-6"}).options.value().mesh.consensus, 1e-6);
  EXPECT_FALSE(Parse({}).options.value().mesh.consensus.has_value());
  ExpectUsageError({"--consensus", "-1"}, "--consensus");
  ExpectUsageError({"--consensus", "0", "--method", "none"},
                   "--consensus belongs to --method mesh");
  ExpectUsageError({"--keep-up"}, "--keep-up belongs to --mode overlap or async");
  ExpectUsageError({"--start-timeout-ms", "0"}, "--start-timeout-ms");
}

TEST(CommandLine, TakesSeveralFilesToEvaluate) {
  EXPECT_EQ(Parse({"--evaluate", "a", "b", "c"}).options.value().evaluate.size(), 3U);
}

TEST(CommandLine, AsyncHasALimitOfItsOwn) {
  const std::optional<Options> options =
      Parse({"--mode", "async", "--staleness-rounds-max", "5"}).options;
  EXPECT_EQ(options.value().mesh.mode, WEIGHTMESH_ASYNC);
  EXPECT_EQ(options.value().mesh.staleness_rounds_max, 5U);
  EXPECT_EQ(ModeName(options.value().mesh.mode), "async");
  EXPECT_EQ(Parse({"--mode", "async"}).options.value().mesh.staleness_rounds_max, 0U)
      << "the library's default";
  ExpectUsageError({"--staleness-rounds-max", "5"}, "belongs to --mode async");
  ExpectUsageError({"--mode", "async", "--staleness-rounds-max", "0"}, "--staleness-rounds-max");
}

TEST(CommandLine, ErrorsNameTheOptionAndTheCure) {
  ExpectUsageError({"--mode", "fast"}, "--mode: fast not in {async,lockstep,overlap}");
  ExpectUsageError({"--rounds", "0"}, "--rounds: Value 0 not in range 1 to");
  ExpectUsageError({"--rounds", "many"}, "--rounds");
  ExpectUsageError({"--seed", "-1"}, "--seed: Value -1 not in range 0 to");
  ExpectUsageError({"--replicas", "2049"}, "--replicas: Value 2049 not in range 1 to 2048");
  ExpectUsageError({"--segments", "0"}, "--segments");
  ExpectUsageError({"--segments", "65537"}, "--segments");
  ExpectUsageError({"--round-deadline-ms", "9"}, "--round-deadline-ms");
  ExpectUsageError({"--round-deadline-ms", "3600001"}, "--round-deadline-ms");
  ExpectUsageError({"--lr", "0"}, "--lr");
  ExpectUsageError({"--speed", "9"}, "--speed");
  ExpectUsageError({"--replicas", "4"}, "say which with --replica, from 0 to 3");
  ExpectUsageError({"--replica", "4", "--replicas", "4"}, "--replica 4 is not below --replicas 4");
  ExpectUsageError({"--method", "allreduce", "--replica", "0"}, "leave --replica out");
  ExpectUsageError({"--method", "none", "--replicas", "2", "--weights", "w"},
                   "choose one replica with --replica");
}

TEST(CommandLine, HelpNamesEveryOption) {
  const Parsed help = Parse({"--help"});
  EXPECT_FALSE(help.options.has_value());
  EXPECT_EQ(help.exit_code, 0);
  for (const char* option : {"--method",   "--mode",
                             "--schedule", "--wire",
                             "--segments", "--replica ",
                             "--replicas", "--rounds",
                             "--seed",     "--lr",
                             "--data",     "--socket",
                             "--run-id",   "--round-deadline-ms",
                             "--validate", "--pace-ms",
                             "--stall-ms", "--result",
                             "--weights",  "--evaluate",
                             "--join",     "--start-timeout-ms",
                             "--keep-up",  "--report-every"}) {
    EXPECT_THAT(help.out, HasSubstr(option));
  }
}

}  // namespace
}  // namespace letter
