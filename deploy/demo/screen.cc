// The live table.
#include "deploy/demo/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weightmesh::demo {
namespace {

constexpr int kBarWidth = 30;
constexpr size_t kColumnsDefault = 100;
constexpr char kUp[] = "\x1b[%dA";         // the cursor, by lines
constexpr char kClearLine[] = "\r\x1b[K";  // from the cursor's line's start
constexpr char kClearBelow[] = "\r\x1b[J";

std::string Bar(const MeshView& view) {
  const double fraction = view.rounds_total == 0 ? 0
                                                 : static_cast<double>(view.round) /
                                                       static_cast<double>(view.rounds_total);
  const int filled = static_cast<int>(std::lround(fraction * kBarWidth));
  return absl::StrCat("[", std::string(static_cast<size_t>(filled), '#'),
                      std::string(static_cast<size_t>(kBarWidth - filled), '.'), "]");
}

std::string Left(const MeshView& view) {
  if (view.round >= view.rounds_total) return "done";
  if (view.seconds_left.has_value()) return absl::StrCat(InWords(*view.seconds_left), " left");
  return view.round == 0 ? "starting" : "under way";
}

std::string Loss(const std::optional<double>& loss) {
  return loss.has_value() ? absl::StrFormat("%.4f", *loss) : "-";
}

std::string Row(const ReplicaRow& row) {
  return absl::StrFormat("%7d %7d %8s %9d %6d %6d %9d %8.2f %10.2e %9.1f  %s", row.replica,
                         row.round, Loss(row.loss), row.arrived, row.late, row.other, row.redirects,
                         row.megabytes_per_second, row.consensus_distance, row.round_ms, row.state);
}

// "; replica 2 daemon killed, replica 5 joining": the replicas that do not take part.
std::string Missing(const MeshView& view) {
  std::string text;
  for (const ReplicaRow& row : view.rows) {
    if (!row.missing) continue;
    absl::StrAppend(&text, text.empty() ? ";" : ",", " replica ", row.replica, " ", row.state);
  }
  return text;
}

// Sums and means over all replicas.
struct Sums {
  uint64_t arrived = 0;
  uint64_t late = 0;
  uint64_t other = 0;
  uint64_t redirects = 0;
  double megabytes_per_second = 0;
  double loss = 0;  // mean of the known ones
  int losses = 0;
  double distance = 0;  // mean of the counting ones
  int counting = 0;
};

Sums SumUp(const MeshView& view) {
  Sums sums;
  for (const ReplicaRow& row : view.rows) {
    sums.arrived += row.arrived;
    sums.late += row.late;
    sums.other += row.other;
    sums.redirects += row.redirects;
    sums.megabytes_per_second += row.megabytes_per_second;
    if (row.loss.has_value()) {
      sums.loss += *row.loss;
      ++sums.losses;
    }
    if (row.counts) {
      sums.distance += row.consensus_distance;
      ++sums.counting;
    }
  }
  sums.loss /= std::max(sums.losses, 1);
  sums.distance /= std::max(sums.counting, 1);
  return sums;
}

}  // namespace

std::string InWords(double seconds) {
  const int64_t whole = std::llround(std::max(seconds, 0.0));
  if (whole < 60) return absl::StrCat(whole, " s");
  return absl::StrCat(whole / 60, " min ", whole % 60, " s");
}

std::vector<std::string> DrawTable(const MeshView& view, size_t columns) {
  std::vector<std::string> lines;
  lines.push_back(absl::StrFormat("%s round %d of %d   %s", Bar(view), view.round,
                                  view.rounds_total, Left(view)));
  lines.push_back("");
  lines.push_back(
      "           newest              segments pulled                        consensus    median");
  lines.push_back(
      "replica   round     loss   ARRIVED   LATE  other redirects     MB/s   distance  round ms  "
      "state");
  for (const ReplicaRow& row : view.rows) lines.push_back(Row(row));
  const Sums sums = SumUp(view);
  lines.push_back(absl::StrFormat("%7s %7s %8s %9d %6d %6d %9d %8.2f %10.2e", "all", "",
                                  sums.losses > 0 ? Loss(sums.loss) : "-", sums.arrived, sums.late,
                                  sums.other, sums.redirects, sums.megabytes_per_second,
                                  sums.distance));
  for (std::string& line : lines) line.resize(std::min(line.size(), columns));
  return lines;
}

std::string DrawLine(const MeshView& view) {
  const Sums sums = SumUp(view);
  return absl::StrFormat(
      "round %d of %d  loss %s  ARRIVED %d  LATE %d  other %d  redirects %d  %.2f MB/s  consensus "
      "distance %.2e  %s%s",
      view.round, view.rounds_total, sums.losses > 0 ? Loss(sums.loss) : "-", sums.arrived,
      sums.late, sums.other, sums.redirects, sums.megabytes_per_second, sums.distance, Left(view),
      Missing(view));
}

Screen::Screen(std::FILE* stream) : stream_(stream), is_terminal_(isatty(fileno(stream)) == 1) {}

void Screen::Show(const MeshView& view, double now, bool last) {
  if (!is_terminal_) {
    if (now < line_due_ && !last) return;
    line_due_ = now + kLineIntervalSeconds;
    std::fprintf(stream_, "%s\n", DrawLine(view).c_str());
    std::fflush(stream_);
    return;
  }
  winsize size{};
  const bool known = ioctl(fileno(stream_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  const std::vector<std::string> lines =
      DrawTable(view, known ? size.ws_col - size_t{1} : kColumnsDefault);
  if (lines_drawn_ > 0) std::fprintf(stream_, kUp, static_cast<int>(lines_drawn_));
  for (const std::string& line : lines) {
    std::fprintf(stream_, "%s%s\n", kClearLine, line.c_str());
  }
  lines_drawn_ = lines.size();
  std::fflush(stream_);
}

void Screen::Say(const std::string& text) {
  if (is_terminal_ && lines_drawn_ > 0) {
    std::fprintf(stream_, kUp, static_cast<int>(lines_drawn_));
    std::fputs(kClearBelow, stream_);
    lines_drawn_ = 0;
  }
  std::fprintf(stream_, "%s\n", text.c_str());
  std::fflush(stream_);
}

}  // namespace weightmesh::demo
