// Screen: shows the mesh while it trains: a table redrawn in place on a terminal, a line now and
// then elsewhere. The drawing functions are pure; Screen is used from one thread.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "deploy/demo/mesh_view.h"

namespace weightmesh::demo {

// One line each, no line break: progress bar, head, a row for each replica, a remark on the sums.
// At most `columns` characters each.
std::vector<std::string> DrawTable(const MeshView& view, size_t columns);

// The same in one line, for a log.
std::string DrawLine(const MeshView& view);

// "3 min 20 s", "12 s".
std::string InWords(double seconds);

class Screen {
 public:
  // Writes to `stream`, which must outlive it; asks whether that is a terminal.
  explicit Screen(std::FILE* stream);
  // Leaves the last table standing.
  ~Screen() = default;
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Shows `view`. Not a terminal: at most one line each kLineIntervalSeconds of `now`, unless
  // `last`.
  void Show(const MeshView& view, double now, bool last = false);
  // A line of text that stays; the table is drawn again below it.
  void Say(const std::string& text);

 private:
  static constexpr double kLineIntervalSeconds = 2;

  std::FILE* const stream_;
  const bool is_terminal_;
  size_t lines_drawn_ = 0;  // of the table that the cursor stands below
  double line_due_ = 0;
};

}  // namespace weightmesh::demo
