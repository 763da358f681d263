// Rows as a table and as JSON.
#include "tests/bench/report.h"

#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weightmesh::bench {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

const char* BarSign(Bar kind) {
  switch (kind) {
    case Bar::kAtLeast:
      return ">=";
    case Bar::kAtMost:
      return "<=";
    case Bar::kReported:
      break;
  }
  return "";
}

}  // namespace

bool Holds(const Row& row) {
  switch (row.kind) {
    case Bar::kAtLeast:
      return row.figure >= row.bar;
    case Bar::kAtMost:
      return row.figure <= row.bar;
    case Bar::kReported:
      break;
  }
  return true;
}

void Report::Add(Row row) {
  const std::string bar =
      row.kind == Bar::kReported ? "" : absl::StrFormat("%s %.4g", BarSign(row.kind), row.bar);
  const char* const verdict = row.kind == Bar::kReported ? "" : Holds(row) ? "holds" : "MISSED";
  absl::PrintF("%-28s %10.4g %-8s %-10s %-7s %s\n", row.name, row.figure, row.unit, bar, verdict,
               row.detail);
  std::fflush(stdout);
  rows_.push_back(std::move(row));
}

bool Report::Write(const std::string& path) const {
  for (const Row& row : rows_) {
    if (std::isfinite(row.figure) && row.figure > 0) continue;
    absl::FPrintF(stderr, "%s: %g is no figure\n", row.name, row.figure);
    return false;
  }
  if (path.empty()) return true;
  std::FILE* const file = std::fopen(path.c_str(), "a");
  if (file == nullptr) {
    std::perror(path.c_str());
    return false;
  }
  for (const Row& row : rows_) {
    absl::FPrintF(
        file,
        R"({"name": %s, "what": %s, "against": %s, "figure": %.6g, "unit": %s, )"
        R"("bar": %s, "holds": %s, "detail": %s})"
        "\n",
        Quoted(row.name), Quoted(row.what), Quoted(row.against), row.figure, Quoted(row.unit),
        row.kind == Bar::kReported ? "null"
                                   : Quoted(absl::StrFormat("%s %.4g", BarSign(row.kind), row.bar)),
        Holds(row) ? "true" : "false", Quoted(row.detail));
  }
  return std::fclose(file) == 0;
}

}  // namespace weightmesh::bench
