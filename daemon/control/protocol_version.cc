// The refusal of daemons that speak another version.
#include "daemon/control/protocol_version.h"

#include "absl/strings/str_cat.h"

namespace weightmesh {

absl::Status CheckPeerProtocolVersion(uint32_t theirs, absl::string_view sender) {
  if (theirs == kPeerProtocolVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(sender, " speaks peer protocol version ", theirs, ", this daemon version ",
                   kPeerProtocolVersion, "; run the same weightmeshd release on all nodes"));
}

}  // namespace weightmesh
