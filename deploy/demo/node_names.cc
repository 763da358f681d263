// Replacing ids.
#include "deploy/demo/node_names.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace weightmesh::demo {
namespace {

// Takes " at HOST:PORT" off the front of `text`, if it is there.
absl::string_view WithoutAddress(absl::string_view text) {
  constexpr absl::string_view kAt = " at ";
  if (text.substr(0, kAt.size()) != kAt) return text;
  const size_t end = text.find_first_not_of("0123456789.:", kAt.size());
  return end == absl::string_view::npos ? "" : text.substr(end);
}

}  // namespace

void NodeNames::Learn(int node, const v1::Id& id) {
  numbers_[NodeId{id.high(), id.low()}.ToString()] = node;
}

std::string NodeNames::Apply(const std::string& text) const {
  constexpr absl::string_view kNode = "node ";
  constexpr size_t kIdSize = 32;
  std::string named;
  absl::string_view rest = text;
  for (size_t at = rest.find(kNode); at != absl::string_view::npos; at = rest.find(kNode)) {
    const auto number = numbers_.find(std::string(rest.substr(at + kNode.size(), kIdSize)));
    absl::StrAppend(&named, rest.substr(0, at));
    if (number == numbers_.end()) {
      absl::StrAppend(&named, kNode);
      rest.remove_prefix(at + kNode.size());
    } else {
      absl::StrAppend(&named, "daemon ", number->second);
      rest = WithoutAddress(rest.substr(at + kNode.size() + kIdSize));
    }
  }
  return absl::StrCat(named, rest);
}

}  // namespace weightmesh::demo
