// Gives a fuzz target all that is kept for it: its corpus, and every input that once crashed it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace weightmesh::fuzz {
namespace {

std::vector<std::filesystem::path> FilesIn(const char* folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Replay(const std::filesystem::path& path) {
  SCOPED_TRACE(path.string());
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file.is_open());
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

TEST(Corpus, IsTakenWhole) {
  const auto files = FilesIn(FUZZ_CORPUS);
  ASSERT_FALSE(files.empty()) << "no corpus in " << FUZZ_CORPUS;
  for (const auto& file : files) Replay(file);
}

// One test for each file of regressions/<target>, with the file's name.
class Regression : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Regression, IsTaken) { Replay(GetParam()); }

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Regression);
INSTANTIATE_TEST_SUITE_P(Once, Regression, testing::ValuesIn(FilesIn(FUZZ_REGRESSIONS)),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace_if(
                               name.begin(), name.end(),
                               [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace weightmesh::fuzz
