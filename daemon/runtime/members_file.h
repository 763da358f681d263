// The file `members` of the state directory: the daemons that this one last knew, as text:
//
//   weightmesh members 1
//   <node_id> <control address>
//   ...
//
// Any thread; reading and writing block on the disk.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/core/last_member.h"

namespace weightmesh {

std::string FormatMembers(const std::vector<LastMember>& members);
// InvalidArgument says what is wrong, and in which line. At most kLastMembersMax rows are taken.
absl::StatusOr<std::vector<LastMember>> ParseMembers(absl::string_view text);

// What an earlier process of this daemon wrote into `folder`; nobody when there is no such file.
// Other errors name it; they are for the log only, for a daemon starts as well without it.
absl::StatusOr<std::vector<LastMember>> ReadMembers(const std::string& folder);
// All or nothing; errors name the file and the cure.
absl::Status WriteMembers(const std::string& folder, const std::vector<LastMember>& members);

}  // namespace weightmesh
