// Limits: no queue and no message of a core is beyond its limit, as far as its driver can see.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "tests/sim/ledger.h"
#include "tests/sim/observer.h"

namespace weightmesh::sim {

struct LimitsOptions {
  uint32_t segments = 0;
  uint32_t sends_per_peer_max = 0;
};

class Limits final : public Observer {
 public:
  // `ledger` must outlive the check.
  Limits(const LimitsOptions& options, Ledger* ledger) : options_(options), ledger_(ledger) {}

  void OnStep(absl::Time now, uint32_t node, const Event& event,
              absl::Span<const Action> actions) override;
  void OnNode(absl::Time now, uint32_t node, ProcessChange change) override;

 private:
  // What is open of one kind at one node, towards one other end.
  using Key = std::tuple<uint32_t, std::string, std::string>;
  void Open(uint32_t node, const std::string& kind, const std::string& end, uint64_t limit);
  void Close(uint32_t node, const std::string& kind, const std::string& end);
  void CheckMessage(uint32_t node, const swim::Message& message);

  void Ended(uint32_t node, const Event& event);
  void Asked(uint32_t node, const Action& action);

  const LimitsOptions options_;
  Ledger* const ledger_;
  std::map<Key, uint64_t> open_;
  // By node: what a pull or a send that is open counts as.
  std::map<std::pair<uint32_t, RequestId>, std::string> pulls_;
  std::map<std::pair<uint32_t, SendId>, std::string> sends_;
};

}  // namespace weightmesh::sim
