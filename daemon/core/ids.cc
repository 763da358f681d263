// Identities as text, and those derived from names.
#include "daemon/core/ids.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

template <typename Id>
absl::StatusOr<Id> ParseId(absl::string_view text) {
  Id id;
  // SimpleHexAtoi alone would also take spaces and "0x".
  const bool digits = std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
  if (text.size() != 32 || !digits || !absl::SimpleHexAtoi(text.substr(0, 16), &id.high) ||
      !absl::SimpleHexAtoi(text.substr(16), &id.low)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not an id: 32 hexadecimal digits are needed"));
  }
  return id;
}

}  // namespace

template <typename Tag>
std::string Id128<Tag>::ToString() const {
  return absl::StrCat(absl::Hex(high, absl::kZeroPad16), absl::Hex(low, absl::kZeroPad16));
}
template struct Id128<NodeTag>;
template struct Id128<ReplicaTag>;
template struct Id128<DigestTag>;

absl::StatusOr<NodeId> ParseNodeId(absl::string_view text) { return ParseId<NodeId>(text); }
absl::StatusOr<ReplicaId> ParseReplicaId(absl::string_view text) {
  return ParseId<ReplicaId>(text);
}

ReplicaId MakeReplicaId(absl::string_view run_id, absl::string_view replica_name) {
  std::string bytes;
  uint64_t size = run_id.size();
  for (int k = 0; k < 8; ++k, size >>= 8) bytes.push_back(static_cast<char>(size & 0xff));
  absl::StrAppend(&bytes, run_id, replica_name);
  const Digest digest = Hash128(bytes);
  return ReplicaId{digest.high, digest.low};
}

RunKey MakeRunKey(absl::string_view run_id) { return Hash64(run_id); }

}  // namespace weightmesh
