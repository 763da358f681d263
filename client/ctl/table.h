// Table: text in aligned columns for people; plain value.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace weightmesh::ctl {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);

  // Cells beyond the columns are dropped, missing ones are empty. Control characters and bytes that
  // are not UTF-8 become '?': a cell may hold what a stranger sent.
  void AddRow(const std::vector<std::string>& cells);

  size_t rows() const { return rows_.size(); }

  // The titles and a line for each row, two spaces between columns, none at the end of a line.
  // Without rows: the titles and "(none)".
  std::string ToText() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace weightmesh::ctl
