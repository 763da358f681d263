// The format of the file, and its place.
#include "daemon/runtime/members_file.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "daemon/control/address.h"
#include "daemon/control/message_limits.h"
#include "daemon/core/last_members.h"
#include "daemon/runtime/durable_file.h"

namespace weightmesh {
namespace {

constexpr char kName[] = "members";
constexpr absl::string_view kHeader = "weightmesh members 1\n";
constexpr size_t kRowBytesMax = 32 + 1 + kControlAddressBytesMax + 1;
constexpr size_t kFileBytesMax = kHeader.size() + kLastMembersMax * kRowBytesMax;

absl::StatusOr<LastMember> ParseRow(absl::string_view row) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(row, absl::MaxSplits(' ', 1));
  const absl::StatusOr<NodeId> node_id = ParseNodeId(parts.first);
  if (!node_id.ok()) return node_id.status();
  if (node_id->IsZero()) return absl::InvalidArgumentError("a node_id is not all zero");
  const absl::StatusOr<HostPort> address = ParseHostPort(parts.second);
  if (!address.ok()) return address.status();
  if (address->port == 0) return absl::InvalidArgumentError("nobody listens on port 0");
  return LastMember{*node_id, std::string(parts.second)};
}

}  // namespace

std::string FormatMembers(const std::vector<LastMember>& members) {
  std::string text(kHeader);
  for (const LastMember& member : members) {
    absl::StrAppend(&text, member.node_id.ToString(), " ", member.control_address, "\n");
  }
  return text;
}

absl::StatusOr<std::vector<LastMember>> ParseMembers(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kHeader)) {
    return absl::InvalidArgumentError(
        absl::StrCat("it does not begin with \"", absl::StripSuffix(kHeader, "\n"), "\""));
  }
  if (!text.empty() && text.back() != '\n') {
    return absl::InvalidArgumentError("its last line is not whole");
  }
  std::vector<LastMember> members;
  int line = 1;
  while (!text.empty()) {
    ++line;
    const size_t end = text.find('\n');
    absl::StatusOr<LastMember> member = ParseRow(text.substr(0, end));
    if (!member.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line, ": ", member.status().message()));
    }
    if (members.size() >= kLastMembersMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("it has more than ", kLastMembersMax, " members"));
    }
    members.push_back(*std::move(member));
    text.remove_prefix(end + 1);
  }
  return members;
}

absl::StatusOr<std::vector<LastMember>> ReadMembers(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kName);
  const absl::StatusOr<std::string> text = ReadSmallFile(path, kFileBytesMax);
  if (absl::IsNotFound(text.status())) return std::vector<LastMember>{};
  if (!text.ok()) return text.status();
  absl::StatusOr<std::vector<LastMember>> members = ParseMembers(*text);
  if (members.ok()) return members;
  return absl::InvalidArgumentError(
      absl::StrCat(path, " is damaged, or not this daemon's: ", members.status().message()));
}

absl::Status WriteMembers(const std::string& folder, const std::vector<LastMember>& members) {
  return ReplaceFile(folder, kName, FormatMembers(members));
}

}  // namespace weightmesh
