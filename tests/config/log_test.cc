// Log lines as they reach a file.
#include "daemon/runtime/log.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <spdlog/logger.h>

#include "tests/config/temporary_folder.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

v1::Log Config(const std::string& file, v1::Log::Format format,
               v1::Log::Level level = v1::Log::LEVEL_INFO) {
  v1::Log config;
  config.set_file(file);
  config.set_format(format);
  config.set_level(level);
  return config;
}

TEST(Log, TextLinesCarryTimeLevelAndMessage) {
  TemporaryFolder folder;
  const std::string file = folder.path() + "/log";
  const auto logger = MakeLogger(Config(file, v1::Log::FORMAT_TEXT));
  ASSERT_TRUE(logger.ok()) << logger.status();
  (*logger)->warn("peer {} is \"gone\"", "a\nb");
  EXPECT_THAT(ReadFile(file),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z warning peer a\\\\nb "
                           "is \"gone\"\n"));
}

TEST(Log, JsonLinesStayOneValidObjectWhateverTheMessage) {
  TemporaryFolder folder;
  const std::string file = folder.path() + "/log";
  const auto logger = MakeLogger(Config(file, v1::Log::FORMAT_JSON));
  ASSERT_TRUE(logger.ok()) << logger.status();
  const std::string sent("q\" b\\ n\n t\t c\x01 d\x7f \xc3\xa9 bad\xff\xc3 cut\xe2\x82", 33);
  (*logger)->error(sent);
  const std::string line = ReadFile(file);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  google::protobuf::Struct object;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(line, &object).ok()) << line;
  EXPECT_EQ(object.fields().at("level").string_value(), "error");
  EXPECT_THAT(object.fields().at("message").string_value(),
              AllOf(HasSubstr("q\" b\\ n\n t\t c\x01 d\x7f \xc3\xa9 bad\xEF\xBF\xBD\xEF\xBF\xBD"),
                    HasSubstr("cut\xEF\xBF\xBD")));
}

TEST(Log, LevelDecidesAndCoreEntriesAreRouted) {
  TemporaryFolder folder;
  const std::string file = folder.path() + "/log";
  const auto logger = MakeLogger(Config(file, v1::Log::FORMAT_TEXT, v1::Log::LEVEL_WARNING));
  ASSERT_TRUE(logger.ok()) << logger.status();
  WriteLog(Log{LogLevel::kDebug, "fine"}, logger->get());
  WriteLog(Log{LogLevel::kInfo, "so"}, logger->get());
  WriteLog(Log{LogLevel::kWarning, "bad {}"}, logger->get());
  EXPECT_THAT(ReadFile(file),
              AllOf(HasSubstr("warning bad {}\n"), Not(HasSubstr("fine")), Not(HasSubstr("so\n"))));
}

TEST(Log, AppendsAndNamesAFileThatCannotBeWritten) {
  TemporaryFolder folder;
  const std::string file = folder.Write("log", "before\n");
  const auto logger = MakeLogger(Config(file, v1::Log::FORMAT_TEXT));
  ASSERT_TRUE(logger.ok()) << logger.status();
  (*logger)->info("after");
  EXPECT_THAT(ReadFile(file), AllOf(HasSubstr("before\n"), HasSubstr("info after\n")));

  const std::string nowhere = folder.path() + "/none/log";
  const auto refused = MakeLogger(Config(nowhere, v1::Log::FORMAT_TEXT));
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr(nowhere), HasSubstr("--log-file")));
}

}  // namespace
}  // namespace weightmesh
