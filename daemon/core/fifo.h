// Fifo: a queue that does not allocate once it has grown to what is usual; pure.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace weightmesh {

// std::deque takes and gives back memory as it moves on; this one moves back to its beginning.
template <typename T>
class Fifo {
 public:
  bool empty() const { return begin_ == items_.size(); }
  size_t size() const { return items_.size() - begin_; }
  const T& front() const { return items_[begin_]; }

  void push_back(T item) {
    // Amortized: as many have left as are moved.
    if (begin_ > size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(begin_));
      begin_ = 0;
    }
    items_.push_back(std::move(item));
  }
  void pop_front() {
    if (++begin_ == items_.size()) clear();
  }
  void clear() {
    items_.clear();
    begin_ = 0;
  }

  auto begin() const { return items_.begin() + static_cast<std::ptrdiff_t>(begin_); }
  auto end() const { return items_.end(); }
  auto erase(typename std::vector<T>::const_iterator item) { return items_.erase(item); }

 private:
  std::vector<T> items_;
  size_t begin_ = 0;  // of what has not left
};

}  // namespace weightmesh
