// Schedules as text.
#include <cstddef>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/ctl/render.h"
#include "client/ctl/table.h"
#include "client/ctl/units.h"

namespace weightmesh::ctl {
namespace {

std::string Title(const v1::ScheduleTable& table) {
  return absl::StrCat("run ", table.run_id(), ", round ", table.round(), ", ",
                      EnumWord(v1::Schedule_Name(table.schedule()), "SCHEDULE_"));
}

}  // namespace

std::string RenderSchedule(const v1::ScheduleTable& table) {
  Table rows({{"READER"}, {"PULLS FROM"}});
  for (const v1::Assignment& assignment : table.assignments()) {
    rows.AddRow({assignment.reader_name(), assignment.source_name()});
  }
  return absl::StrCat(Title(table), ", segment ", table.segment(), "\n\n", rows.ToText());
}

std::string RenderScheduleMatrix(const std::vector<v1::ScheduleTable>& tables) {
  std::vector<Column> columns = {{"#", Align::kRight}, {"READER"}};
  for (const v1::ScheduleTable& table : tables) {
    columns.push_back({absl::StrCat("S", table.segment()), Align::kRight});
  }
  std::map<std::pair<uint64_t, uint64_t>, int> numbers;  // of the readers
  const v1::ScheduleTable& first = tables.front();
  for (int k = 0; k < first.assignments_size(); ++k) {
    const v1::Id& reader = first.assignments(k).reader();
    numbers[{reader.high(), reader.low()}] = k;
  }
  Table rows(std::move(columns));
  for (int k = 0; k < first.assignments_size(); ++k) {
    std::vector<std::string> cells = {absl::StrCat(k), first.assignments(k).reader_name()};
    for (const v1::ScheduleTable& table : tables) {
      if (k >= table.assignments_size()) continue;
      const v1::Id& source = table.assignments(k).source();
      const auto number = numbers.find({source.high(), source.low()});
      cells.push_back(number == numbers.end() ? "-" : absl::StrCat(number->second));
    }
    rows.AddRow(cells);
  }
  return absl::StrCat(Title(first), "; each cell: the number of the replica pulled from\n\n",
                      rows.ToText());
}

}  // namespace weightmesh::ctl
