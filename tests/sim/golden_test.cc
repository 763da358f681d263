// Golden scenarios: each file of tests/sim/golden is a script with what comes of it, which is to be
// read in reviews as a diff. WEIGHTMESH_GOLDEN_UPDATE=1 writes what comes of it now.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/sim/golden_script.h"

namespace weightmesh::sim {
namespace {

std::string Contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Lines that are only in `before` with '-', those that are only in `after` with '+', around them
// what both have: by the longest common subsequence.
std::string Difference(const std::string& before, const std::string& after) {
  const std::vector<std::string> a = absl::StrSplit(before, '\n');
  const std::vector<std::string> b = absl::StrSplit(after, '\n');
  std::vector<std::vector<uint32_t>> common(a.size() + 1, std::vector<uint32_t>(b.size() + 1));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] =
          a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string text;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      absl::StrAppend(&text, "  ", a[i++], "\n");
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      absl::StrAppend(&text, "- ", a[i++], "\n");
    } else {
      absl::StrAppend(&text, "+ ", b[j++], "\n");
    }
  }
  return text;
}

TEST(Golden, ScenariosGoAsReviewed) {
  const bool updates = std::getenv("WEIGHTMESH_GOLDEN_UPDATE") != nullptr;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(WEIGHTMESH_GOLDEN_FOLDER)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty());
  for (const std::filesystem::path& file : files) {
    const std::string before = Contents(file);
    const absl::StatusOr<std::string> after = GoldenScript::Replay(before);
    ASSERT_TRUE(after.ok()) << file << ": " << after.status();
    if (updates) {
      std::ofstream(file) << *after;
    } else if (before != *after) {
      ADD_FAILURE() << file
                    << " goes otherwise than reviewed; if that is right, write it anew with "
                    << "WEIGHTMESH_GOLDEN_UPDATE=1:\n"
                    << Difference(before, *after);
    }
  }
}

TEST(Golden, WhatIsNoCommandIsNamed) {
  const auto replayed = GoldenScript::Replay("mesh nodes=2\ndance 1\n----\n");
  EXPECT_TRUE(absl::IsInvalidArgument(replayed.status()));
  EXPECT_NE(replayed.status().message().find("dance 1"), std::string::npos);
}

// A scenario that goes otherwise is found.
TEST(Golden, AnotherOutcomeIsAnotherFile) {
  const std::string script = "mesh nodes=2\nnode 0 1\ntrainer 0 1\nrun 1s\n----\n";
  const std::string once = GoldenScript::Replay(script).value();
  EXPECT_EQ(GoldenScript::Replay(once).value(), once);
  const std::string other =
      GoldenScript::Replay(absl::StrCat("mesh nodes=2\nnode 0 1\n",
                                        "trainer 0 1\nrun 1s\ncrash 1\n", "run 1s\n----\n"))
          .value();
  const std::string difference = Difference(once, other);
  EXPECT_NE(difference.find("+ crash 1\n"), std::string::npos) << difference;
  EXPECT_NE(difference.find("node1: ends\n"), std::string::npos) << difference;
}

}  // namespace
}  // namespace weightmesh::sim
