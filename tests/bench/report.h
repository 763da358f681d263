// The rows that a benchmark finds: for people as a table, for programs as JSON.
//
// Every figure is a ratio of two things that were measured in one run, or a count; the machines are
// shared and noisy, so a figure is the best of several tries of both.
#pragma once

#include <string>
#include <vector>

namespace weightmesh::bench {

enum class Bar { kAtLeast, kAtMost, kReported };

struct Row {
  std::string name;       // unique: "mix-fp32"
  std::string what;       // "mix from fp32, 2 threads"
  std::string against{};  // what it is divided by; empty: nothing
  double figure = 0;
  std::string unit{};  // empty: a ratio
  Bar kind = Bar::kReported;
  double bar = 0;
  std::string detail{};  // the two measured things: "8.1 GB/s against 8.9 GB/s"
};

// Whether the bar is met; true where there is none.
bool Holds(const Row& row);

class Report {
 public:
  // Prints the row.
  void Add(Row row);
  const std::vector<Row>& rows() const { return rows_; }

  // Appends the rows to the file at `path`, one JSON object a line. Empty: does nothing. False,
  // with a message, when the file cannot be written.
  bool Write(const std::string& path) const;

 private:
  std::vector<Row> rows_;
};

}  // namespace weightmesh::bench
