// Aligned columns.
#include "client/ctl/table.h"

#include <algorithm>
#include <utility>

#include "daemon/core/clean_text.h"

namespace weightmesh::ctl {
namespace {

constexpr size_t kCellBytesMax = 1024;
constexpr size_t kGap = 2;

// Characters, each taken to be one cell of the terminal wide. REQUIRES: UTF-8.
size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

void AppendLine(const std::vector<std::string>& cells, const std::vector<Column>& columns,
                const std::vector<size_t>& widths, std::string* text) {
  std::string line;
  for (size_t k = 0; k < cells.size(); ++k) {
    if (k > 0) line.append(kGap, ' ');
    const std::string padding(widths[k] - Width(cells[k]), ' ');
    line += columns[k].align == Align::kRight ? padding + cells[k] : cells[k] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  *text += line + '\n';
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::AddRow(const std::vector<std::string>& cells) {
  std::vector<std::string> row(columns_.size());
  for (size_t k = 0; k < std::min(cells.size(), row.size()); ++k) {
    row[k] = CleanText(cells[k], kCellBytesMax);
  }
  rows_.push_back(std::move(row));
}

std::string Table::ToText() const {
  std::vector<std::string> titles;
  std::vector<size_t> widths;
  for (size_t k = 0; k < columns_.size(); ++k) {
    titles.push_back(columns_[k].title);
    widths.push_back(Width(columns_[k].title));
    for (const auto& row : rows_) widths[k] = std::max(widths[k], Width(row[k]));
  }
  std::string text;
  AppendLine(titles, columns_, widths, &text);
  for (const auto& row : rows_) AppendLine(row, columns_, widths, &text);
  if (rows_.empty()) text += "(none)\n";
  return text;
}

}  // namespace weightmesh::ctl
