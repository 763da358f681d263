// Limits: no queue and no message of a core is beyond its limit, as far as its driver can see.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
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
  enum class Kind { kSync, kProbe, kConnect, kDetectorProbe, kRelay, kPull, kSend };
  static const char* KindName(Kind kind);
  // What is open of one kind at one node: where (an attach, or 0) and towards whom or for what, as
  // numbers.
  struct Key {
    uint32_t node = 0;
    Kind kind{};
    uint64_t where = 0;
    uint64_t end = 0;
    auto operator<=>(const Key&) const = default;
  };
  void Open(const Key& key, uint64_t limit);
  void Close(const Key& key);
  void CheckMessage(uint32_t node, const swim::Message& message);

  void Ended(uint32_t node, const Event& event);
  void Asked(uint32_t node, const Action& action);

  const LimitsOptions options_;
  Ledger* const ledger_;
  std::map<Key, uint64_t> open_;
  // What a pull or a send that is open counts as.
  std::map<std::pair<uint32_t, RequestId>, Key> pulls_;
  std::map<std::pair<uint32_t, SendId>, Key> sends_;
};

}  // namespace weightmesh::sim
