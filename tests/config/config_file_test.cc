// Configuration files, and what is said of those that are wrong.
#include "daemon/runtime/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/config/temporary_folder.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string ErrorOf(const std::string& name, const std::string& text) {
  const auto config = ParseConfig(name, text);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

constexpr char kText[] = R"(# a node
listen_address: "127.0.0.1:0"
seeds: "10.0.0.1:7473" seeds: "10.0.0.2:7473"
log { level: LEVEL_DEBUG }
limits { arena_bytes_max: 5000000000 }
)";
constexpr char kJson[] = R"( {"listen_address": "127.0.0.1:0",
  "seeds": ["10.0.0.1:7473", "10.0.0.2:7473"],
  "log": {"level": "LEVEL_DEBUG"}, "transport": null,
  "limits": {"arenaBytesMax": "5000000000"}})";

TEST(ConfigFile, TextAndJsonSayTheSame) {
  const auto text = ParseConfig("a.textproto", kText);
  const auto json = ParseConfig("a.json", kJson);
  ASSERT_TRUE(text.ok()) << text.status();
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(text->DebugString(), json->DebugString());
  EXPECT_EQ(text->seeds(1), "10.0.0.2:7473");
  EXPECT_EQ(text->limits().arena_bytes_max(), 5000000000u);
}

TEST(ConfigFile, FirstCharacterChoosesTheFormatWithoutAnExtension) {
  EXPECT_TRUE(ParseConfig("weightmeshd.conf", kText).ok());
  EXPECT_TRUE(ParseConfig("weightmeshd.conf", kJson).ok());
  EXPECT_TRUE(ParseConfig("weightmeshd.conf", "").ok());
  EXPECT_FALSE(ParseConfig("weightmeshd.json", kText).ok());
  EXPECT_FALSE(ParseConfig("weightmeshd.txtpb", kJson).ok());
}

TEST(ConfigFile, TextErrorsNameLineColumnAndTheFields) {
  EXPECT_THAT(ErrorOf("a.textproto", "seeds: \"a:1\"\nlisten_adress: \"x\"\n"),
              AllOf(StartsWith("a.textproto:2:"), HasSubstr("\"listen_adress\""),
                    HasSubstr("the fields are: listen_address, advertise_address, seeds")));
  EXPECT_THAT(ErrorOf("a.textproto", "limits {\n  run_max: 3\n}"),
              AllOf(StartsWith("a.textproto:2:"), HasSubstr("the fields are: runs_max, replicas")));
  EXPECT_THAT(ErrorOf("a.textproto", "log { level: LOUD }"),
              AllOf(StartsWith("a.textproto:1:"), HasSubstr("LOUD"),
                    HasSubstr("allowed: LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR")));
  EXPECT_THAT(ErrorOf("a.textproto", "\n\nlimits { runs_max: \"many\" }"),
              AllOf(StartsWith("a.textproto:3:20: "), HasSubstr("integer")));
  EXPECT_THAT(ErrorOf("a.textproto", "limits { runs_max: -1 }"), StartsWith("a.textproto:1:"));
  EXPECT_THAT(ErrorOf("a.textproto", "log {"), StartsWith("a.textproto:1:"));
}

TEST(ConfigFile, JsonErrorsNameThePathAndTheFields) {
  EXPECT_THAT(ErrorOf("a.json", R"({"limits": {"run_max": 3}})"),
              AllOf(StartsWith("a.json: limits.run_max is not a field"),
                    HasSubstr("runs_max, replicas_max")));
  EXPECT_EQ(ErrorOf("a.json", R"({"limits": {"runs_max": true}})"),
            "a.json: limits.runs_max must be a number that is whole and not negative");
  EXPECT_EQ(ErrorOf("a.json", R"({"limits": 3})"), "a.json: limits must be an object");
  EXPECT_EQ(ErrorOf("a.json", R"({"seeds": "a:1"})"), "a.json: seeds must be a list");
  EXPECT_EQ(ErrorOf("a.json", R"({"seeds": ["a:1", 2]})"), "a.json: seeds[1] must be a string");
  EXPECT_EQ(ErrorOf("a.json", R"({"insecure_plaintext": "yes"})"),
            "a.json: insecure_plaintext must be true or false");
  EXPECT_EQ(ErrorOf("a.json", R"({"log": {"level": "LOUD"}})"),
            "a.json: log.level is \"LOUD\"; allowed: LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, "
            "LEVEL_ERROR");
  EXPECT_THAT(ErrorOf("a.json", R"({"limits": {"runs_max": 1.5}})"),
              AllOf(StartsWith("a.json: "), HasSubstr("runs_max")));
  EXPECT_THAT(ErrorOf("a.json", R"({"limits": {"runs_max": -1}})"),
              AllOf(StartsWith("a.json: "), HasSubstr("runs_max")));
  EXPECT_THAT(ErrorOf("a.json", R"({"limits": )"), StartsWith("a.json: not valid JSON: "));
}

TEST(ConfigFile, IsReadFromDisk) {
  TemporaryFolder folder;
  const auto config = LoadConfig(folder.Write("node.json", kJson));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen_address(), "127.0.0.1:0");
}

TEST(ConfigFile, MissingFoldersAndHugeFilesAreRefused) {
  TemporaryFolder folder;
  const auto missing = LoadConfig(folder.path() + "/none.textproto");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("none.textproto"));
  EXPECT_FALSE(LoadConfig(folder.path()).ok());
  const std::string huge =
      folder.Write("huge.textproto", std::string(kConfigFileBytesMax + 1, '#'));
  EXPECT_EQ(LoadConfig(huge).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weightmesh
