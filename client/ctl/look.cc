// One question to the daemon and its answer as text.
#include "client/ctl/look.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/json.h"
#include "client/ctl/render.h"

namespace weightmesh::ctl {
namespace {

// Columns of a schedule's matrix; more fit no screen.
constexpr uint32_t kMatrixSegmentsMax = 64;

// `render` of the answer, or JSON.
template <typename Response, typename Render>
absl::StatusOr<std::string> Show(const CommandLine& line, const absl::StatusOr<Response>& response,
                                 const Render& render) {
  if (!response.ok()) return response.status();
  if (line.json) return ToJson(*response, line.watch);
  return render(*response);
}

// The run that `line` names, or the only one that there is.
absl::StatusOr<v1::Run> FindRun(const CommandLine& line, MeshClient* client) {
  absl::StatusOr<v1::RunList> runs = client->ListRuns();
  if (!runs.ok()) return runs.status();
  std::vector<std::string> names;
  for (const v1::Run& run : runs->runs()) {
    if (run.run_id() == line.run || (line.run.empty() && runs->runs_size() == 1)) return run;
    names.push_back(run.run_id());
  }
  const std::string known = names.empty() ? "no run" : absl::StrJoin(names, ", ");
  if (line.run.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "a schedule belongs to one run; name it with --run (the daemon knows ", known, ")"));
  }
  return absl::NotFoundError(
      absl::StrCat("run \"", line.run, "\" is not known to the daemon; it knows ", known));
}

absl::StatusOr<std::string> ShowMatrix(const CommandLine& line, const v1::Run& run,
                                       MeshClient* client) {
  std::vector<v1::ScheduleTable> tables;
  v1::GetScheduleRequest request;
  request.set_run_id(run.run_id());
  request.set_round(line.round);
  const uint32_t segments = std::min(run.founding().segments(), kMatrixSegmentsMax);
  for (uint32_t segment = 0; segment < segments; ++segment) {
    request.set_segment(segment);
    absl::StatusOr<v1::ScheduleTable> table = client->GetSchedule(request);
    if (!table.ok()) return table.status();
    request.set_round(table->round());  // all of one round, also when a new one begins meanwhile
    tables.push_back(*std::move(table));
  }
  if (!line.json) {
    std::string text = tables.empty() ? "the run has no segments\n" : RenderScheduleMatrix(tables);
    if (segments < run.founding().segments()) {
      absl::StrAppend(&text, "the first ", segments, " of ", run.founding().segments(),
                      " segments; --segment shows any other\n");
    }
    return text;
  }
  std::vector<std::string> rows;
  for (const v1::ScheduleTable& table : tables) {
    absl::StatusOr<std::string> row = ToJson(table, true);
    if (!row.ok()) return row;
    row->pop_back();  // the newline
    rows.push_back(*std::move(row));
  }
  const char* const between = line.watch ? "," : ",\n";
  return absl::StrCat("{\"tables\":[", absl::StrJoin(rows, between), "]}\n");
}

absl::StatusOr<std::string> ShowSchedule(const CommandLine& line, MeshClient* client) {
  std::string run_id = line.run;
  if (run_id.empty() || line.all_segments) {
    const absl::StatusOr<v1::Run> run = FindRun(line, client);
    if (!run.ok()) return run.status();
    if (line.all_segments) return ShowMatrix(line, *run, client);
    run_id = run->run_id();
  }
  v1::GetScheduleRequest request;
  request.set_run_id(run_id);
  request.set_round(line.round);
  request.set_segment(line.segment);
  return Show(line, client->GetSchedule(request), RenderSchedule);
}

}  // namespace

absl::StatusOr<std::string> Look(const CommandLine& line, MeshClient* client) {
  switch (line.command) {
    case Command::kTopology: {
      v1::GetTopologyRequest request;
      request.set_run_id(line.run);
      return Show(line, client->GetTopology(request), RenderTopology);
    }
    case Command::kStats: {
      v1::GetStatsRequest request;
      request.set_run_id(line.run);
      request.set_with_segments(line.segments);
      return Show(line, client->GetStats(request), [&line](const v1::Stats& stats) {
        return RenderStats(stats, {line.sources, line.segments});
      });
    }
    case Command::kLinks:
      return Show(line, client->ListLinks(), RenderLinks);
    case Command::kRuns:
      return Show(line, client->ListRuns(), RenderRuns);
    case Command::kSchedule:
      return ShowSchedule(line, client);
    case Command::kConfig:
      return Show(line, client->GetConfig(), RenderConfig);
    case Command::kEvents:
      return Show(line, client->ListEvents({}), RenderEvents);
    case Command::kDrain:
      break;  // drain.h
  }
  return absl::InternalError("unknown command");
}

}  // namespace weightmesh::ctl
