// Whom to ask for a blob, one after the other.
#include "daemon/runtime/blob_fetch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"

namespace weightmesh {
namespace {

constexpr size_t kHostsMax = 3;
// Longest that one daemon is waited for: the trainer stands still meanwhile.
constexpr absl::Duration kHostTimeout = absl::Seconds(1);

class Fetch : public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(BlobFetchOptions options, std::function<void(std::string)> done)
      : options_(std::move(options)), done_(std::move(done)) {}

  void AskNext() {
    if (next_ == options_.addresses.size()) return done_("");
    options_.ask(options_.addresses[next_++], kHostTimeout,
                 [self = shared_from_this()](absl::StatusOr<std::string> blob) {
                   if (blob.ok()) return self->done_(*std::move(blob));
                   if (!absl::IsNotFound(blob.status())) {
                     spdlog::info("no blob for who joins: {}",
                                  std::string(blob.status().message()));
                   }
                   self->AskNext();
                 });
  }

 private:
  const BlobFetchOptions options_;
  const std::function<void(std::string)> done_;
  size_t next_ = 0;
};

}  // namespace

std::vector<std::string> BlobHosts(const TopologySnapshot& topology, absl::string_view run_id) {
  std::map<NodeId, Round> newest;  // round that a replica there has published
  for (const ReplicaSnapshot& replica : topology.replicas) {
    const bool has_one = replica.run_id == run_id && TakesPart(replica.info.state) &&
                         replica.reachable && replica.node != topology.self;
    if (!has_one) continue;
    Round& round = newest[replica.node];
    round = std::max(round, replica.info.published_round);
  }
  std::vector<std::pair<Round, std::string>> hosts;
  for (const NodeSnapshot& node : topology.nodes) {
    const auto found = newest.find(node.info.node_id);
    if (found != newest.end()) hosts.emplace_back(found->second, node.info.control_address);
  }
  std::sort(hosts.rbegin(), hosts.rend());
  if (hosts.size() > kHostsMax) hosts.resize(kHostsMax);
  std::vector<std::string> addresses;
  for (auto& [round, address] : hosts) addresses.push_back(std::move(address));
  return addresses;
}

void FetchBlob(BlobFetchOptions options, std::function<void(std::string blob)> done) {
  std::make_shared<Fetch>(std::move(options), std::move(done))->AskNext();
}

}  // namespace weightmesh
