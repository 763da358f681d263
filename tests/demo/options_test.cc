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

TEST(DemoOptions, OverlapIsPacedUnlessToldOtherwise) {
  EXPECT_EQ(Parse({}).options.pace_ms, 0u);
  EXPECT_EQ(Parse({"--mode", "overlap"}).options.pace_ms, kOverlapPaceMs);
  EXPECT_EQ(Parse({"--mode", "overlap", "--pace-ms", "0"}).options.pace_ms, 0u);
  EXPECT_EQ(Parse({"--pace-ms", "7"}).options.pace_ms, 7u);
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
  for (const char* option :
       {"--nodes", "--rounds", "--segments", "--schedule", "--wire", "--mode", "--seed",
        "--kill K@ROUND", "--keep-running", "--output", "--no-baselines", "--work-dir"}) {
    EXPECT_THAT(parsed.text, HasSubstr(option));
  }
}

}  // namespace
}  // namespace weightmesh::demo
