// The last known members on disk: the format, what becomes of damaged files, and who writes.
#include "daemon/runtime/members_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/core/last_members.h"
#include "daemon/runtime/members_keeper.h"
#include "tests/config/temporary_folder.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kTwo[] =
    "weightmesh members 1\n"
    "00000000000000010000000000000002 10.0.0.1:7473\n"
    "00000000000000030000000000000004 [fe80::1]:7473\n";

std::vector<LastMember> Two() {
  return {LastMember{NodeId{1, 2}, "10.0.0.1:7473"}, LastMember{NodeId{3, 4}, "[fe80::1]:7473"}};
}

TEST(MembersFile, KeepsWhatWasWritten) {
  TemporaryFolder folder;
  EXPECT_THAT(*ReadMembers(folder.path()), IsEmpty()) << "no file is no error";
  ASSERT_TRUE(WriteMembers(folder.path(), Two()).ok());
  EXPECT_EQ(ReadFile(folder.path() + "/members"), kTwo);
  EXPECT_EQ(*ReadMembers(folder.path()), Two());
  ASSERT_TRUE(WriteMembers(folder.path(), {}).ok());
  EXPECT_THAT(*ReadMembers(folder.path()), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/members.new"));
}

TEST(MembersFile, WhatIsNotWholeOrNotOursIsRefusedWithTheReason) {
  const std::string whole = kTwo;
  const std::string header = "weightmesh members 1\n";
  const std::string id = "00000000000000010000000000000002";
  const std::pair<std::string, std::string> cases[] = {
      {"", "does not begin with"},
      {"hello\n", "does not begin with"},
      {"weightmesh members 2\n" + id + " a:1\n", "does not begin with"},
      {whole.substr(0, whole.size() - 1), "last line is not whole"},
      {header + "\n", "line 2"},
      {header + id + "\n", "line 2"},
      {header + id + " \n", "line 2"},
      {header + id + " 10.0.0.1\n", "the port is missing"},
      {header + id + " 10.0.0.1:0\n", "port 0"},
      {header + id + " a b:1\n", "wrong character"},
      {header + "00000000000000000000000000000000 a:1\n", "all zero"},
      {header + "xyz a:1\n", "line 2"},
      {whole + std::string("\0\0\n", 3), "line 4"},
  };
  for (const auto& [content, reason] : cases) {
    TemporaryFolder folder;
    const std::string path = folder.Write("members", content);
    const auto members = ReadMembers(folder.path());
    EXPECT_FALSE(members.ok()) << content;
    EXPECT_THAT(std::string(members.status().message()), AllOf(HasSubstr(path), HasSubstr(reason)))
        << content;
  }
}

TEST(MembersFile, AsManyAsTheLimitSays) {
  TemporaryFolder folder;
  std::vector<LastMember> members;
  const std::string host(240, 'h');
  for (uint64_t k = 0; k < kLastMembersMax; ++k) {
    members.push_back(LastMember{NodeId{9, k + 1}, absl::StrCat(host, k, ":65535")});
  }
  ASSERT_TRUE(WriteMembers(folder.path(), members).ok());
  EXPECT_EQ(*ReadMembers(folder.path()), members);
  members.push_back(LastMember{NodeId{9, 999}, "a:1"});
  EXPECT_THAT(std::string(ParseMembers(FormatMembers(members)).status().message()),
              HasSubstr("more than 64 members"));
  folder.Write("members", std::string(100'000, 'x'));
  EXPECT_FALSE(ReadMembers(folder.path()).ok());
}

TEST(MembersFile, AFolderInItsPlaceIsNamed) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() + "/members");
  EXPECT_THAT(std::string(ReadMembers(folder.path()).status().message()),
              HasSubstr(folder.path() + "/members"));
  EXPECT_FALSE(WriteMembers(folder.path(), Two()).ok());
}

TEST(MembersKeeper, TheLastIsWrittenBeforeItEnds) {
  TemporaryFolder folder;
  {
    MembersKeeper keeper(folder.path());
    for (uint64_t k = 1; k <= 100; ++k) keeper.Keep({LastMember{NodeId{k, k}, "a:1"}});
    keeper.Keep(Two());
  }
  EXPECT_EQ(ReadFile(folder.path() + "/members"), kTwo);
  { MembersKeeper idle(folder.path()); }
  EXPECT_EQ(ReadFile(folder.path() + "/members"), kTwo);
}

TEST(MembersKeeper, AFolderThatIsGoneEndsNothing) {
  TemporaryFolder folder;
  MembersKeeper keeper(folder.path() + "/gone");
  keeper.Keep(Two());
}

}  // namespace
}  // namespace weightmesh
