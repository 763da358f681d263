// The live table, as people see it.
#include "deploy/demo/screen.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "tests/config/temporary_folder.h"

namespace weightmesh::demo {
namespace {

MeshView TwoReplicas() {
  MeshView view;
  view.rounds_total = 280;
  view.round = 140;
  view.seconds = 6;
  view.seconds_left = 6.2;
  ReplicaRow row;
  row.replica = 0;
  row.state = "training";
  row.counts = true;
  row.round = 141;
  row.steps = 141;
  row.loss = 1.25;
  row.arrived = 2520;
  row.late = 1;
  row.other = 2;
  row.redirects = 3;
  row.megabytes_per_second = 3.456;
  row.consensus_distance = 0.00125;
  row.round_ms = 42.5;
  view.rows.push_back(row);
  row.replica = 1;
  row.state = "daemon killed";
  row.counts = false;
  row.missing = true;
  row.loss.reset();
  row.consensus_distance = 7;
  view.rows.push_back(row);
  return view;
}

TEST(Screen, TableIsAsPeopleSeeIt) {
  EXPECT_EQ(absl::StrJoin(DrawTable(TwoReplicas(), 200), "\n"),
            R"([###############...............] round 140 of 280   6 s left

           newest              segments pulled                        consensus    median
replica   round     loss   ARRIVED   LATE  other redirects     MB/s   distance  round ms  state
      0     141   1.2500      2520      1      2         3     3.46   1.25e-03      42.5  training
      1     141        -      2520      1      2         3     3.46   7.00e+00      42.5  daemon killed
    all           1.2500      5040      2      4         6     6.91   1.25e-03)");
}

TEST(Screen, TableFitsANarrowTerminal) {
  for (const std::string& line : DrawTable(TwoReplicas(), 40)) EXPECT_LE(line.size(), 40u);
}

TEST(Screen, BarIsEmptyFirstAndFullLast) {
  MeshView view;
  view.rounds_total = 10;
  EXPECT_EQ(DrawTable(view, 200)[0], "[..............................] round 0 of 10   starting");
  view.round = 10;
  EXPECT_EQ(DrawTable(view, 200)[0], "[##############################] round 10 of 10   done");
}

TEST(Screen, LineSumsUp) {
  EXPECT_EQ(DrawLine(TwoReplicas()),
            "round 140 of 280  loss 1.2500  ARRIVED 5040  LATE 2  other 4  redirects 6  6.91 MB/s  "
            "consensus distance 1.25e-03  6 s left; replica 1 daemon killed");
}

TEST(Screen, TimesAreInWords) {
  EXPECT_EQ(InWords(0.4), "0 s");
  EXPECT_EQ(InWords(59.4), "59 s");
  EXPECT_EQ(InWords(59.6), "1 min 0 s");
  EXPECT_EQ(InWords(200), "3 min 20 s");
}

TEST(Screen, WritesALineNowAndThenWhenNotOnATerminal) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/out";
  std::FILE* file = std::fopen(path.c_str(), "w");
  {
    Screen screen(file);
    screen.Say("begin");
    screen.Show(TwoReplicas(), 0);
    screen.Show(TwoReplicas(), 1.9);
    screen.Show(TwoReplicas(), 2);
    screen.Show(TwoReplicas(), 2.1, true);
  }
  std::fclose(file);
  const std::string line = DrawLine(TwoReplicas()) + "\n";
  EXPECT_EQ(ReadFile(path), "begin\n" + line + line + line);
}

TEST(Screen, RedrawsInPlaceOnATerminal) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  std::FILE* file = std::fopen(ptsname(terminal), "w");
  ASSERT_NE(file, nullptr);
  Screen screen(file);
  // A table of seven lines; it comes in pieces.
  const auto shown = [&] {
    std::string text;
    while (std::count(text.begin(), text.end(), '\n') < 7) {
      char bytes[8192];
      const ssize_t size = read(terminal, bytes, sizeof(bytes));
      if (size <= 0) break;
      text.append(bytes, static_cast<size_t>(size));
    }
    return text;
  };
  screen.Show(TwoReplicas(), 0);
  EXPECT_EQ(shown().find("\x1b[7A"), std::string::npos);
  screen.Show(TwoReplicas(), 0.1);
  EXPECT_EQ(shown().find("\x1b[7A"), 0u);  // over the seven lines of the first
  std::fclose(file);
  close(terminal);
}

}  // namespace
}  // namespace weightmesh::demo
