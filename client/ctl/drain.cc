// Asks for the drain, then looks at the topology until nobody is draining.
#include "client/ctl/drain.h"

#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/ctl/json.h"

namespace weightmesh::ctl {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(100);

using ReplicaName = std::pair<std::string, std::string>;  // its run's, and its own

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
  }
  std::map<ReplicaName, bool> leaving;
  for (const v1::Replica& replica : reply->replicas()) {
    leaving[{replica.run_id(), replica.info().name()}] = true;
    Say(line,
        absl::StrCat("replica ", replica.info().name(), " of run ", replica.run_id(),
                     " leaves: it takes no part from round ", replica.info().left_at(), "\n"));
  }
  size_t left = 0;
  while (left < leaving.size()) {
    absl::SleepFor(kLookInterval);
    const absl::StatusOr<v1::Topology> topology = client->GetTopology({});
    if (!topology.ok()) return topology.status();
    for (const v1::Replica& replica : topology->replicas()) {
      const auto found = leaving.find({replica.run_id(), replica.info().name()});
      if (found == leaving.end() || !found->second) continue;
      if (replica.info().state() == v1::REPLICA_STATE_DRAINING) continue;
      found->second = false;
      ++left;
      const bool died = replica.info().state() == v1::REPLICA_STATE_DEAD;
      Say(line, absl::StrCat("replica ", replica.info().name(), " of run ", replica.run_id(),
                             died ? " died\n" : " has left\n"));
    }
  }
  Say(line,
      absl::StrCat("drained: ", leaving.size(), leaving.size() == 1 ? " replica" : " replicas",
                   "; no trainer attaches to ", line.daemon, " any more\n"));
  return absl::OkStatus();
}

}  // namespace weightmesh::ctl
