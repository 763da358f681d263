// LruCache: a map of bounded size that forgets what was used longest ago; not synchronised.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace weightmesh {

template <typename Value>
class LruCache {
 public:
  // REQUIRES: entries_max > 0.
  explicit LruCache(size_t entries_max) : entries_max_(entries_max) {}

  // The value of `key`, made by `make()` when there is none; now the most recently used. Valid
  // until the next call.
  template <typename Make>
  Value& FindOrMake(absl::string_view key, const Make& make) {
    if (const auto found = index_.find(key); found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return entries_.front().second;
    }
    if (entries_.size() >= entries_max_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(std::string(key), make());
    index_[entries_.front().first] = entries_.begin();
    return entries_.front().second;
  }

  // Takes the value of `key` out; an empty one when there is none.
  Value Take(absl::string_view key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return Value();
    Value value = std::move(found->second->second);
    entries_.erase(found->second);
    index_.erase(found);
    return value;
  }

  size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<std::string, Value>>;

  const size_t entries_max_;
  Entries entries_;  // most recently used first
  absl::flat_hash_map<std::string, typename Entries::iterator> index_;
};

}  // namespace weightmesh
