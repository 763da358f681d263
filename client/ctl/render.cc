// Topology, links, runs and configuration as text.
#include "client/ctl/render.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "client/ctl/table.h"
#include "client/ctl/units.h"
#include "daemon/core/clean_text.h"
#include "google/protobuf/text_format.h"

namespace weightmesh::ctl {
namespace {

std::string Counted(int count, const char* one, const char* many) {
  return absl::StrCat(count, " ", count == 1 ? one : many);
}

bool Same(const v1::Id& a, const v1::Id& b) { return a.high() == b.high() && a.low() == b.low(); }

std::string NodeState(const v1::Node& node, const v1::Id& self) {
  if (Same(node.info().node_id(), self)) return "this daemon";
  const std::string silent = FormatMicroseconds(1e3 * static_cast<double>(node.silent_ms()));
  if (node.reachable()) {
    return node.silent_ms() == 0 ? "reachable" : absl::StrCat("reachable, heard ", silent, " ago");
  }
  return absl::StrCat("unreachable for ", silent, ": ", node.unreachable_reason());
}

std::string StateWord(const v1::Replica& replica) {
  const std::string word =
      EnumWord(v1::ReplicaState_Name(replica.info().state()), "REPLICA_STATE_");
  return replica.reachable() ? word : absl::StrCat(word, ", unreachable");
}

std::string RunStateWord(const v1::Run& run) {
  if (run.started()) return "started";
  return absl::StrCat("waiting: ", run.replicas(), " of ", run.founding().config().replicas_min());
}

}  // namespace

std::string RenderTopology(const v1::Topology& topology) {
  Table nodes({{"NODE"}, {"ADDRESS"}, {"VERSION"}, {"STATE"}});
  for (const v1::Node& node : topology.nodes()) {
    nodes.AddRow({ShortId(node.info().node_id()), node.info().control_address(),
                  node.info().version(), NodeState(node, topology.self())});
  }
  Table replicas({{"RUN"},
                  {"RANK", Align::kRight},
                  {"REPLICA"},
                  {"NAME"},
                  {"NODE"},
                  {"STATE"},
                  {"PUBLISHED", Align::kRight},
                  {"MIXED", Align::kRight}});
  for (const v1::Replica& replica : topology.replicas()) {
    replicas.AddRow({replica.run_id(), replica.rank() < 0 ? "-" : absl::StrCat(replica.rank()),
                     ShortId(replica.info().replica_id()), replica.info().name(),
                     ShortId(replica.node_id()), StateWord(replica),
                     absl::StrCat(replica.info().published_round()),
                     absl::StrCat(replica.info().mixed_round())});
  }
  return absl::StrCat(Counted(topology.nodes_size(), "daemon", "daemons"), ", ",
                      Counted(topology.replicas_size(), "replica", "replicas"), ", as seen by ",
                      ShortId(topology.self()), "\n\n", nodes.ToText(), "\n", replicas.ToText());
}

std::string RenderLinks(const v1::LinkList& links) {
  Table table({{"NODE"},
               {"ADDRESS"},
               {"TRANSPORT"},
               {"DEVICE"},
               {"RECEIVED", Align::kRight},
               {"SENT", Align::kRight},
               {"PULLS", Align::kRight},
               {"SENDS", Align::kRight},
               {"PULL TIME", Align::kRight},
               {"GOODPUT", Align::kRight},
               {"FAILURES", Align::kRight},
               {"REFUSED", Align::kRight},
               {"WHY NOT FASTER"}});
  for (const v1::Link& link : links.links()) {
    const bool pulled = link.pull_time_us().count() > 0;
    const bool measured = link.goodput_bytes_per_second() > 0;
    table.AddRow({ShortId(link.node_id()), link.control_address(),
                  link.transport().empty() ? "not connected" : link.transport(), link.device(),
                  FormatBytes(static_cast<double>(link.bytes_received())),
                  FormatBytes(static_cast<double>(link.bytes_sent())),
                  absl::StrCat(link.pulls_landed()), absl::StrCat(link.sends_ended()),
                  pulled ? absl::StrCat("~", FormatMicroseconds(Median(link.pull_time_us()))) : "-",
                  measured ? absl::StrCat(FormatBytes(link.goodput_bytes_per_second()), "/s") : "-",
                  absl::StrCat(link.failures()),
                  absl::StrCat(link.frames_refused() + link.requests_refused()), link.reason()});
  }
  return table.ToText();
}

// With the limit, where the mode has one: "async 8".
std::string ModeText(const v1::RunConfig& config) {
  const std::string word = EnumWord(v1::Mode_Name(config.mode()), "MODE_");
  return config.mode() == v1::MODE_ASYNC ? absl::StrCat(word, " ", config.staleness_rounds_max())
                                         : word;
}

std::string RenderRuns(const v1::RunList& runs) {
  Table table({{"RUN"},
               {"STATE"},
               {"ROUND", Align::kRight},
               {"REPLICAS", Align::kRight},
               {"LIVE", Align::kRight},
               {"HERE", Align::kRight},
               {"SCHEDULE"},
               {"MODE"},
               {"WIRE"},
               {"ALPHA", Align::kRight},
               {"DEADLINE", Align::kRight},
               {"PARAMETERS", Align::kRight},
               {"SEGMENTS", Align::kRight},
               {"SEED", Align::kRight}});
  for (const v1::Run& run : runs.runs()) {
    const v1::RunConfig& config = run.founding().config();
    table.AddRow({run.run_id(), RunStateWord(run), absl::StrCat(run.newest_round()),
                  absl::StrCat(run.replicas()), absl::StrCat(run.live_replicas()),
                  absl::StrCat(run.local_replicas()),
                  EnumWord(v1::Schedule_Name(config.schedule()), "SCHEDULE_"), ModeText(config),
                  EnumWord(v1::WireFormat_Name(config.wire()), "WIRE_FORMAT_"),
                  FormatNumber(config.alpha()),
                  FormatMicroseconds(1e3 * static_cast<double>(config.round_deadline_ms())),
                  absl::StrCat(run.founding().parameters()),
                  absl::StrCat(run.founding().segments()), absl::StrCat(config.seed())});
  }
  return table.ToText();
}

std::string RenderEvent(const v1::Event& event) {
  const absl::Time at = absl::FromUnixMillis(static_cast<int64_t>(event.time_ms()));
  return absl::StrCat(absl::FormatTime("%Y-%m-%d %H:%M:%E3S", at, absl::LocalTimeZone()),
                      event.warning() ? "  warning  " : "           ",
                      CleanText(event.text(), event.text().size()), "\n");
}

std::string RenderEvents(const v1::EventList& events) {
  std::string text;
  if (events.events_lost() > 0) {
    absl::StrAppend(&text, events.events_lost(), " earlier events are not kept any more\n");
  }
  for (const v1::Event& event : events.events()) absl::StrAppend(&text, RenderEvent(event));
  return text.empty() ? "nothing has happened yet\n" : text;
}

std::string RenderConfig(const v1::EffectiveConfig& config) {
  std::string text = absl::StrCat("weightmeshd ", config.version(), "\n\n");
  std::string fields;
  google::protobuf::TextFormat::PrintToString(config.config(), &fields);
  absl::StrAppend(&text, fields, "\n");

  absl::StrAppend(&text, "a daemon's death is known here within ",
                  FormatMicroseconds(1e3 * config.detection_ms()), " (median)\n\n");
  Table settings({{"TRANSPORT SETTING"}, {"VALUE"}});
  const std::map<std::string, std::string> sorted(config.transport_settings().begin(),
                                                  config.transport_settings().end());
  for (const auto& [name, value] : sorted) settings.AddRow({name, value});

  Table times({{"RUN"},
               {"ROUND DEADLINE", Align::kRight},
               {"PROBE TIMEOUT", Align::kRight},
               {"OVERLAP GRACE", Align::kRight},
               {"PUBLISH WAIT", Align::kRight}});
  for (const v1::DerivedTimes& run : config.derived_times()) {
    times.AddRow({run.run_id(), FormatMicroseconds(1e3 * run.round_deadline_ms()),
                  FormatMicroseconds(1e3 * run.probe_timeout_ms()),
                  FormatMicroseconds(1e3 * run.overlap_grace_ms()),
                  FormatMicroseconds(1e3 * run.publish_wait_ms())});
  }
  return absl::StrCat(text, settings.ToText(), "\n", times.ToText());
}

}  // namespace weightmesh::ctl
