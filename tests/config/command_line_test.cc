// The flags of weightmeshd.
#include "daemon/runtime/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/config/temporary_folder.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CommandLineResult Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "weightmeshd");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data(), "1.2.3 (test)");
}

TEST(CommandLine, EveryFlagReachesTheConfig) {
  const CommandLineResult result = Parse({"--listen",
                                          "10.0.0.2:1",
                                          "--advertise",
                                          "node2:1",
                                          "--seed",
                                          "a:1",
                                          "--seed",
                                          "b:2",
                                          "--state-directory",
                                          "/s",
                                          "--attach-socket",
                                          "/a",
                                          "--attach-group",
                                          "trainers",
                                          "--insecure-plaintext",
                                          "--transport",
                                          "loopback",
                                          "--device",
                                          "eth0",
                                          "--device",
                                          "eth1",
                                          "--log-level",
                                          "debug",
                                          "--log-format",
                                          "json",
                                          "--log-file",
                                          "/l",
                                          "--sync-interval-ms",
                                          "250",
                                          "--detection-target-ms",
                                          "1500",
                                          "--drain-deadline-ms",
                                          "700"});
  ASSERT_FALSE(result.exit_code.has_value()) << result.text;
  const auto config = ResolveConfig(result.flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen_address(), "10.0.0.2:1");
  EXPECT_EQ(config->advertise_address(), "node2:1");
  EXPECT_THAT(config->seeds(), ElementsAre("a:1", "b:2"));
  EXPECT_EQ(config->state_directory(), "/s");
  EXPECT_EQ(config->attach_socket(), "/a");
  EXPECT_EQ(config->attach_group(), "trainers");
  EXPECT_TRUE(config->insecure_plaintext());
  EXPECT_EQ(config->transport().kind(), "loopback");
  EXPECT_THAT(config->transport().devices(), ElementsAre("eth0", "eth1"));
  EXPECT_EQ(config->log().level(), v1::Log::LEVEL_DEBUG);
  EXPECT_EQ(config->log().format(), v1::Log::FORMAT_JSON);
  EXPECT_EQ(config->log().file(), "/l");
  EXPECT_EQ(config->membership().sync_interval_ms(), 250u);
  EXPECT_EQ(config->membership().detection_target_ms(), 1500u);
  EXPECT_EQ(config->drain_deadline_ms(), 700u);
}

TEST(CommandLine, FlagsOverrideTheFileAndTheFileTheDefaults) {
  TemporaryFolder folder;
  const std::string file = folder.Write("node.textproto",
                                        "listen_address: \"127.0.0.1:1\" seeds: \"a:1\" "
                                        "seeds: \"b:1\" attach_socket: \"/file\"");
  const auto result = Parse({"--config", file.c_str(), "--listen", "127.0.0.1:2", "--seed=c:1"});
  const auto config = ResolveConfig(result.flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen_address(), "127.0.0.1:2");
  EXPECT_THAT(config->seeds(), ElementsAre("c:1"));
  EXPECT_EQ(config->attach_socket(), "/file");
  EXPECT_EQ(config->transport().kind(), "ucx");
}

TEST(CommandLine, ResolvedConfigIsChecked) {
  EXPECT_THAT(std::string(ResolveConfig(Parse({"--transport", "tcp"}).flags).status().message()),
              HasSubstr("transport.kind"));
  EXPECT_FALSE(ResolveConfig(Parse({"--config", "/does/not/exist"}).flags).ok());
}

TEST(CommandLine, AFaultOfTheFileComesWithItsPlace) {
  TemporaryFolder folder;
  const std::string file = folder.Write("node.textproto",
                                        "seeds: \"a:1\"\nseeds: \"b\"\n"
                                        "limits {\n  runs_max: 2\n  replicas_max: 2000\n}\n");
  const auto message = [](const CommandLineResult& result) {
    return std::string(ResolveConfig(result.flags).status().message());
  };
  const std::string config = "--config=" + file;
  EXPECT_THAT(message(Parse({config.c_str()})), HasSubstr(file + ":2:1: seeds[1]"));
  EXPECT_THAT(message(Parse({config.c_str(), "--seed=c:1"})),
              HasSubstr(file + ":5:3: limits.replicas_max is 2000"));
  // What a flag made is not to be found in the file.
  EXPECT_THAT(message(Parse({config.c_str(), "--seed=c"})), ::testing::StartsWith("seeds[0]"));
  const std::string json = folder.Write("node.json", "{\"limits\": {\"runsMax\": 9999}}");
  const std::string json_config = "--config=" + json;
  EXPECT_THAT(message(Parse({json_config.c_str()})), HasSubstr(json + ": limits.runs_max is 9999"));
}

TEST(CommandLine, FaultsAreUsageErrorsThatNameTheArgument) {
  for (const auto& arguments :
       std::vector<std::vector<const char*>>{{"--listne", "a:1"},
                                             {"--log-level", "loud"},
                                             {"--seed"},
                                             {"stray"},
                                             {"--sync-interval-ms", "-3"},
                                             {"--sync-interval-ms", "0"},
                                             {"--sync-interval-ms", "soon"}}) {
    const CommandLineResult result = Parse(arguments);
    EXPECT_EQ(result.exit_code, kExitUsage) << arguments[0];
    EXPECT_THAT(result.text, AllOf(HasSubstr("weightmeshd: "), HasSubstr(arguments[0])));
  }
}

TEST(CommandLine, HelpAndVersionEndWell) {
  const CommandLineResult help = Parse({"--help"});
  EXPECT_EQ(help.exit_code, kExitGood);
  for (const char* flag : {"--config",
                           "--listen",
                           "--advertise",
                           "--seed",
                           "--state-directory",
                           "--attach-socket",
                           "--attach-group",
                           "--insecure-plaintext",
                           "--transport",
                           "--device",
                           "--log-level",
                           "--log-format",
                           "--log-file",
                           "--sync-interval-ms",
                           "--detection-target-ms",
                           "--drain-deadline-ms",
                           "--print-config",
                           "--check",
                           "--version",
                           "--help",
                           "Exit codes"}) {
    EXPECT_THAT(help.text, HasSubstr(flag));
  }
  const CommandLineResult version = Parse({"--version"});
  EXPECT_EQ(version.exit_code, kExitGood);
  EXPECT_EQ(version.text, "weightmeshd 1.2.3 (test)\n");
}

TEST(CommandLine, PrintAndCheckAreForTheCaller) {
  EXPECT_TRUE(Parse({"--print-config"}).flags.print_config);
  EXPECT_TRUE(Parse({"--check"}).flags.check);
  EXPECT_FALSE(Parse({}).flags.check);
}

}  // namespace
}  // namespace weightmesh
