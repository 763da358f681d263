// Asks for the drain, then looks at the topology until nobody is draining.
#include "client/ctl/drain.h"

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/ctl/json.h"

namespace weightmesh::ctl {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(100);

using ReplicaName = std::pair<std::string, std::string>;  // its run's, and its own

ReplicaName NameOf(const v1::Replica& replica) { return {replica.run_id(), replica.info().name()}; }

void Say(const CommandLine& line, const std::string& text) {
  if (line.json) return;
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace

absl::Status Drain(const CommandLine& line, MeshClient* client) {
  v1::DrainRequest request;
  request.set_deadline_ms(line.deadline_ms);
  const absl::StatusOr<v1::DrainReply> reply = client->Drain(request);
  if (!reply.ok()) return reply.status();
  if (line.json) {
    const absl::StatusOr<std::string> text = ToJson(*reply, /*one_line=*/false);
    if (!text.ok()) return text.status();
    std::fputs(text->c_str(), stdout);
    std::fflush(stdout);
  }
  std::set<ReplicaName> leaving;
  for (const v1::Replica& replica : reply->replicas()) {
    leaving.insert(NameOf(replica));
    const uint64_t left_at = replica.info().left_at();
    Say(line,
        absl::StrCat("replica ", replica.info().name(), " of run ", replica.run_id(),
                     left_at == 0 ? " leaves once it takes part"
                                  : absl::StrCat(" leaves: it takes no part from round ", left_at),
                     "\n"));
  }
  const size_t count = leaving.size();
  while (!leaving.empty()) {
    absl::SleepFor(kLookInterval);
    const absl::StatusOr<v1::Topology> topology = client->GetTopology({});
    if (!topology.ok()) return topology.status();
    std::map<ReplicaName, v1::ReplicaState> states;
    for (const v1::Replica& replica : topology->replicas()) {
      states[NameOf(replica)] = replica.info().state();
    }
    std::erase_if(leaving, [&](const ReplicaName& name) {
      const auto found = states.find(name);  // none: its run is forgotten
      const bool died = found != states.end() && found->second == v1::REPLICA_STATE_DEAD;
      const bool left = found == states.end() || found->second == v1::REPLICA_STATE_LEFT;
      if (died || left) {
        Say(line, absl::StrCat("replica ", name.second, " of run ", name.first,
                               died ? " died\n" : " has left\n"));
      }
      return died || left;
    });
  }
  Say(line, absl::StrCat("drained: ", count, count == 1 ? " replica" : " replicas",
                         "; no trainer attaches to ", line.daemon, " any more\n"));
  return absl::OkStatus();
}

}  // namespace weightmesh::ctl
