// The launcher's command line.
#include "deploy/demo/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace weightmesh::demo {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

ParsedOptions Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "weightmesh_demo");
  return ParseOptions(static_cast<int>(arguments.size()), arguments.data(), "/build/bin");
}

TEST(DemoOptions, DefaultsAreThePapersMesh) {
  const ParsedOptions parsed = Parse({});
  ASSERT_FALSE(parsed.exit_code.has_value()) << parsed.text;
  const Options& options = parsed.options;
  EXPECT_EQ(options.nodes, 4);
  EXPECT_EQ(options.rounds, 280u);
  EXPECT_EQ(options.segments, 18u);
  EXPECT_EQ(options.schedule, "hash_cycle");
  EXPECT_EQ(options.wire, "fp32");
  EXPECT_EQ(options.mode, "lockstep");
  EXPECT_EQ(options.seed, 1u);
  EXPECT_TRUE(options.baselines);
  EXPECT_FALSE(options.json || options.keep_running || options.kill.has_value());
  EXPECT_EQ(options.weightmeshd, "/build/bin/weightmeshd");
  EXPECT_EQ(options.letter_trainer, "/build/bin/letter_trainer");
  EXPECT_EQ(options.weightmeshctl, "/build/bin/weightmeshctl");
}

TEST(DemoOptions, EveryOptionArrives) {
  const ParsedOptions parsed = Parse({"--nodes",
                                      "8",
                                      "--rounds",
                                      "100",
                                      "--segments",
                                      "5",
                                      "--schedule",
                                      "derangement",
                                      "--wire",
                                      "bf16",
                                      "--mode",
                                      "overlap",
                                      "--seed",
                                      "7",
                                      "--kill",
                                      "2@50",
                                      "--keep-running",
                                      "--output",
                                      "json",
                                      "--no-baselines",
                                      "--work-dir",
                                      "/w",
                                      "--data",
                                      "/d",
                                      "--weightmeshd",
                                      "/a",
                                      "--letter-trainer",
                                      "/b",
                                      "--weightmeshctl",
                                      "/c"});
  ASSERT_FALSE(parsed.exit_code.has_value()) << parsed.text;
  const Options& options = parsed.options;
  EXPECT_EQ(options.nodes, 8);
  EXPECT_EQ(options.rounds, 100u);
  EXPECT_EQ(options.segments, 5u);
  EXPECT_EQ(options.schedule, "derangement");
  EXPECT_EQ(options.wire, "bf16");
  EXPECT_EQ(options.mode, "overlap");
  EXPECT_EQ(options.seed, 7u);
  ASSERT_TRUE(options.kill.has_value());
  EXPECT_EQ(options.kill->node, 2);
  EXPECT_EQ(options.kill->round, 50u);
  EXPECT_TRUE(options.keep_running);
  EXPECT_TRUE(options.json);
  EXPECT_FALSE(options.baselines);
  EXPECT_EQ(options.work_dir, "/w");
  EXPECT_EQ(options.data, "/d");
  EXPECT_EQ(options.weightmeshd + options.letter_trainer + options.weightmeshctl, "/a/b/c");
}

TEST(DemoOptions, ASlowTrainerHasLongerAndFewerRounds) {
  const Options slow =
      Parse({"--mode", "async", "--slow", "1:3", "--pace-ms", "10", "--rounds", "280"}).options;
  ASSERT_TRUE(slow.slow.has_value());
  EXPECT_EQ(slow.slow->trainer, 1);
  EXPECT_EQ(slow.slow->factor, 3);
  EXPECT_EQ(PaceMsOf(slow, 1), 30u);
  EXPECT_EQ(PaceMsOf(slow, 0), 10u);
  EXPECT_EQ(RoundsOf(slow, 1), 93u);
  EXPECT_EQ(RoundsOf(slow, 0), 280u);
  const Options lockstep = Parse({"--slow", "1:2.5", "--pace-ms", "10"}).options;
  EXPECT_EQ(PaceMsOf(lockstep, 1), 25u);
  EXPECT_EQ(RoundsOf(lockstep, 1), 280u) << "the others wait for it";
  EXPECT_EQ(RoundsOf(Parse({"--mode", "overlap", "--slow", "0:100", "--rounds", "5"}).options, 0),
            1u);
}

TEST(DemoOptions, OverlapIsPacedUnlessToldOtherwise) {
  EXPECT_EQ(Parse({}).options.pace_ms, 0u);
  EXPECT_EQ(Parse({"--mode", "overlap"}).options.pace_ms, kOverlapPaceMs);
  EXPECT_EQ(Parse({"--mode", "async"}).options.pace_ms, kOverlapPaceMs);
  EXPECT_EQ(Parse({"--mode", "overlap", "--pace-ms", "0"}).options.pace_ms, 0u);
  EXPECT_EQ(Parse({"--pace-ms", "7"}).options.pace_ms, 7u);
}

TEST(DemoOptions, ChaosHasLongRoundsAndAQuietEnd) {
  const Options options = Parse({"--chaos", "7"}).options;
  EXPECT_EQ(options.chaos, 7u);
  EXPECT_EQ(options.pace_ms, kChaosPaceMs);
  EXPECT_EQ(QuietRounds(options), 50u);
  EXPECT_EQ(Parse({"--chaos", "0", "--mode", "overlap"}).options.pace_ms, kChaosPaceMs);
  const Options paced = Parse({"--chaos", "7", "--pace-ms", "30", "--rounds", "335"}).options;
  EXPECT_EQ(paced.pace_ms, 30u);
  EXPECT_EQ(QuietRounds(paced), 334u);
  EXPECT_FALSE(Parse({}).options.chaos.has_value());
}

TEST(DemoOptions, FaultsAreUsageErrorsThatNameThem) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> faults = {
      {{"--nodes", "0"}, "--nodes"},
      {{"--nodes", "65"}, "--nodes"},
      {{"--schedule", "ring"}, "--schedule"},
      {{"--wire", "fp8"}, "--wire"},
      {{"--output", "xml"}, "--output"},
      {{"--kill", "2"}, "K@ROUND"},
      {{"--kill", "-1@5"}, "K@ROUND"},
      {{"--kill", "4@50"}, "0 to 3"},
      {{"--kill", "1@280"}, "below --rounds"},
      {{"--mode", "lazy"}, "--mode"},
      {{"--mode", "async", "--slow", "1"}, "K:FACTOR"},
      {{"--mode", "async", "--slow", "1:1"}, "K:FACTOR"},
      {{"--mode", "async", "--slow", "1:101"}, "K:FACTOR"},
      {{"--mode", "async", "--slow", "1:nan"}, "K:FACTOR"},
      {{"--mode", "async", "--slow", "-1:3"}, "K:FACTOR"},
      {{"--mode", "async", "--slow", "4:3"}, "0 to 3"},
      {{"--slow", "1:3"}, "--pace-ms, which is 0"},
      {{"--chaos", "x"}, "--chaos"},
      {{"--chaos", "-1"}, "--chaos"},
      {{"--chaos", "1", "--kill", "2@100"}, "--chaos and --kill exclude each other"},
      {{"--chaos", "1", "--slow", "1:3"}, "--chaos and --slow exclude each other"},
      {{"--chaos", "1", "--nodes", "2"}, "--chaos needs --nodes 3"},
      {{"--chaos", "1", "--pace-ms", "0"}, "--pace-ms 50"},
      {{"--chaos", "1", "--rounds", "50"}, "give more --rounds"},
      {{"--noodles"}, "--noodles"},
      {{"--seed", "-1"}, "--seed"},
      {{"--pace-ms", "-1"}, "--pace-ms"}};
  for (const auto& [arguments, expected] : faults) {
    const ParsedOptions parsed = Parse(arguments);
    EXPECT_EQ(parsed.exit_code, 2) << arguments[0];
    EXPECT_THAT(parsed.text, AllOf(HasSubstr("weightmesh_demo: "), HasSubstr(expected)));
  }
}

TEST(DemoOptions, HelpNamesTheOptions) {
  const ParsedOptions parsed = Parse({"--help"});
  EXPECT_EQ(parsed.exit_code, 0);
  for (const char* option : {"--nodes", "--rounds", "--segments", "--schedule", "--wire", "--mode",
                             "--seed", "--kill K@ROUND", "--chaos SEED", "--keep-running",
                             "--output", "--no-baselines", "--work-dir"}) {
    EXPECT_THAT(parsed.text, HasSubstr(option));
  }
}

}  // namespace
}  // namespace weightmesh::demo
