// The loops of weightmeshctl --watch.
#include "client/ctl/watch.h"

#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/render.h"
#include "client/ctl/watched_mesh.h"

namespace weightmesh::ctl {
namespace {

constexpr char kClearScreen[] = "\x1b[H\x1b[2J\x1b[3J";
constexpr int kMeshSaysNo = 1;

// Where answers and complaints go, and how many there may be.
class Paper {
 public:
  explicit Paper(const CommandLine& line)
      : looks_max_(line.looks_max),
        redraw_(!line.json && isatty(STDOUT_FILENO) == 1),
        spaced_(!line.json) {}

  void Print(const std::string& answer) {
    if (redraw_) std::fputs(kClearScreen, stdout);
    if (!redraw_ && spaced_ && answered_) std::fputs("\n", stdout);
    std::fputs(answer.c_str(), stdout);
    Flush();
    answered_ = true;
    complaint_.clear();
    good_ = true;
    ++looks_;
  }

  // Said when it is another than before.
  void Complain(const absl::Status& status) {
    const std::string complaint =
        absl::StrCat(status.message(), answered_ ? "; trying again until Ctrl-C" : "");
    if (complaint != complaint_) Say(complaint);
    complaint_ = complaint;
    good_ = false;
    ++looks_;
  }

  void Say(const std::string& text) { std::fprintf(stderr, "weightmeshctl: %s\n", text.c_str()); }

  // Whether the daemon has ever answered.
  bool answered() const { return answered_; }
  bool ended() const { return closed_ || (looks_max_ > 0 && looks_ >= looks_max_); }
  int exit_code() const { return good_ && !closed_ ? 0 : kMeshSaysNo; }

 private:
  void Flush() {
    if (std::fflush(stdout) != 0) closed_ = true;
  }

  const uint64_t looks_max_;
  const bool redraw_;
  const bool spaced_;
  uint64_t looks_ = 0;
  bool answered_ = false;
  bool good_ = false;
  bool closed_ = false;  // nobody reads any more
  std::string complaint_;
};

// Looks until it is enough: `look` prints, or says why it cannot any more. Nothing is waited out
// before the first answer.
int Repeat(const CommandLine& line, Interrupt* interrupt, Paper* paper,
           const std::function<absl::Status()>& look) {
  while (true) {
    const absl::Status status = look();
    if (interrupt->came()) return 0;
    if (!status.ok()) paper->Complain(status);
    if (paper->ended() || (!status.ok() && !paper->answered())) return paper->exit_code();
    if (interrupt->Wait(line.interval)) return 0;
  }
}

// `text` of what the events tell so far.
template <typename Event, typename Text>
std::function<bool(const Event&)> Printer(const CommandLine& line, Paper* paper, const Text& text) {
  return [&line, paper, text](const Event& event) {
    const absl::StatusOr<std::string> answer = line.json ? ToJson(event, true) : text(event);
    if (!answer.ok()) {
      paper->Complain(answer.status());
      return !paper->ended();
    }
    paper->Print(*answer);
    if (event.events_lost() > 0 && !line.json) {
      paper->Say(absl::StrCat(
          event.events_lost(), event.events_lost() == 1 ? " event was lost" : " events were lost",
          ", because they were not read in time; what is shown is whole again"));
    }
    return !paper->ended();
  };
}

int StreamTopology(const CommandLine& line, MeshClient* client, Interrupt* interrupt) {
  v1::WatchTopologyRequest request;
  request.set_run_id(line.run);
  request.set_interval_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(line.interval)));
  request.set_with_rounds(!line.json || line.rounds);
  Paper paper(line);
  WatchedTopology topology;
  const auto print = Printer<v1::TopologyEvent>(line, &paper, [&](const v1::TopologyEvent& event) {
    topology.Apply(event, absl::Now());
    return RenderTopology(topology.At(absl::Now()));
  });
  return Repeat(line, interrupt, &paper, [&] {
    return client->WatchTopology(request, print, [interrupt] { return !interrupt->came(); });
  });
}

int StreamStats(const CommandLine& line, MeshClient* client, Interrupt* interrupt) {
  v1::WatchStatsRequest request;
  request.set_run_id(line.run);
  request.set_interval_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(line.interval)));
  request.set_with_segments(line.segments);
  Paper paper(line);
  WatchedStats stats;
  const auto print = Printer<v1::StatsEvent>(line, &paper, [&](const v1::StatsEvent& event) {
    stats.Apply(event);
    return RenderStats(stats.stats(), {line.sources, line.segments});
  });
  return Repeat(line, interrupt, &paper, [&] {
    return client->WatchStats(request, print, [interrupt] { return !interrupt->came(); });
  });
}

// Each event once, as it comes: nothing is redrawn.
int FollowEvents(const CommandLine& line, MeshClient* client, Interrupt* interrupt) {
  uint64_t after = 0;
  uint64_t looks = 0;
  bool answered = false;
  std::string complaint;
  while (true) {
    v1::ListEventsRequest request;
    request.set_after(after);
    const absl::StatusOr<v1::EventList> list = client->ListEvents(request);
    if (interrupt->came()) return 0;
    if (list.ok() && list->last_sequence() < after) {
      std::fputs("weightmeshctl: the daemon was started anew\n", stderr);
      after = 0;
      continue;
    }
    if (list.ok()) {
      for (const v1::Event& event : list->events()) {
        const absl::StatusOr<std::string> text =
            line.json ? ToJson(event, true) : absl::StatusOr<std::string>(RenderEvent(event));
        if (text.ok()) std::fputs(text->c_str(), stdout);
      }
      if (std::fflush(stdout) != 0) return kMeshSaysNo;  // nobody reads any more
      after = list->last_sequence();
      answered = true;
      complaint.clear();
    } else if (const std::string why(list.status().message()); why != complaint) {
      std::fprintf(stderr, "weightmeshctl: %s%s\n", why.c_str(),
                   answered ? "; trying again until Ctrl-C" : "");
      complaint = why;
    }
    const bool enough = line.looks_max > 0 && ++looks >= line.looks_max;
    if (enough || (!list.ok() && !answered)) return list.ok() ? 0 : kMeshSaysNo;
    if (interrupt->Wait(line.interval)) return 0;
  }
}

int AskAgain(const CommandLine& line, MeshClient* client, Interrupt* interrupt) {
  Paper paper(line);
  return Repeat(line, interrupt, &paper, [&]() -> absl::Status {
    const absl::StatusOr<std::string> answer = Look(line, client);
    if (answer.ok()) paper.Print(*answer);
    return answer.status();
  });
}

}  // namespace

int Watch(const CommandLine& line, MeshClient* client, Interrupt* interrupt) {
  switch (line.command) {
    case Command::kTopology:
      return StreamTopology(line, client, interrupt);
    case Command::kStats:
      return StreamStats(line, client, interrupt);
    case Command::kEvents:
      return FollowEvents(line, client, interrupt);
    default:
      return AskAgain(line, client, interrupt);
  }
}

}  // namespace weightmesh::ctl
