// main() of every test executable: runs GoogleTest and fails when there is nothing to run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  const int result = RUN_ALL_TESTS();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  if (!testing::GTEST_FLAG(list_tests) && all.test_to_run_count() == 0) {
    std::fprintf(stderr, "%s: no test ran; an empty test must not pass\n", argv[0]);
    return 1;
  }
  return result;
}
