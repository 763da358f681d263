// Names of states, and how long messages are.
#include "daemon/core/swim_message.h"

namespace weightmesh::swim {
namespace {

constexpr size_t kTag = 1;
constexpr size_t kIdBytes = 2 + 2 * (kTag + 8);  // a message of two fixed64

size_t VarintBytes(uint64_t value) {
  size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

size_t StringBytes(const std::string& text) {
  return text.empty() ? 0 : kTag + VarintBytes(text.size()) + text.size();
}

size_t NodeInfoBytes(const NodeInfo& node) {
  return kTag + 1 + kIdBytes + kTag + 8 + StringBytes(node.control_address) +
         StringBytes(node.version);
}

}  // namespace

const char* MemberStateName(MemberState state) {
  switch (state) {
    case MemberState::kAlive:
      return "alive";
    case MemberState::kSuspect:
      return "suspect";
    case MemberState::kDead:
      return "dead";
    case MemberState::kLeft:
      return "left";
  }
  return "unknown";
}

size_t EncodedBytes(const MemberUpdate& update) {
  return kTag + 2 + NodeInfoBytes(update.node) + kTag + VarintBytes(update.incarnation) + kTag + 1 +
         update.accusers.size() * kIdBytes + kTag + VarintBytes(update.record_version) +
         StringBytes(update.record);
}

size_t EncodedBytes(const Message& message) {
  size_t bytes = NodeInfoBytes(message.from) + kTag + VarintBytes(message.incarnation) + kTag + 8 +
                 (message.whole ? kTag + 1 : 0) + (message.wants_whole ? kTag + 1 : 0);
  for (const MemberUpdate& update : message.updates) bytes += EncodedBytes(update);
  return bytes;
}

}  // namespace weightmesh::swim
