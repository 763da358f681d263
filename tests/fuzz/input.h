// Input: cuts the bytes that a fuzzer gives into values. Beyond their end everything is zero.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace weightmesh::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size)
      : bytes_(reinterpret_cast<const char*>(data), data == nullptr ? 0 : size) {}

  bool AtEnd() const { return bytes_.empty(); }

  template <typename T>
  T Take() {
    T value{};
    const size_t size = std::min(bytes_.size(), sizeof value);
    if (size > 0) std::memcpy(&value, bytes_.data(), size);
    bytes_.remove_prefix(size);
    return value;
  }
  uint8_t Byte() { return Take<uint8_t>(); }

  // At most `size` bytes.
  std::string Bytes(size_t size) {
    std::string taken(bytes_.substr(0, size));
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  std::string Rest() { return Bytes(bytes_.size()); }

 private:
  std::string_view bytes_;
};

}  // namespace weightmesh::fuzz
