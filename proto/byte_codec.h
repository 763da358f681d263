// ByteWriter and ByteReader: the little-endian encoding of the attach messages.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace weightmesh {

// Appends values to a string.
class ByteWriter {
 public:
  void U32(uint32_t value) { Raw(&value, sizeof value); }
  void U64(uint64_t value) { Raw(&value, sizeof value); }
  void F64(double value) { Raw(&value, sizeof value); }
  void Text(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    Raw(text.data(), text.size());
  }
  std::string Take() { return std::move(bytes_); }

 private:
  void Raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  std::string bytes_;
};

// Reads them back. After the first value that does not fit, ok() is false and every value is zero.
class ByteReader {
 public:
  // `bytes` must outlive the reader.
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  uint32_t U32() { return Raw<uint32_t>(); }
  uint64_t U64() { return Raw<uint64_t>(); }
  double F64() { return Raw<double>(); }
  std::string Text() {
    const uint32_t size = U32();
    if (!ok_ || size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  // A count of elements that each take at least `element_bytes`: false once more are announced than
  // the rest can hold, so that no caller reserves memory for a lie.
  uint64_t Count(uint64_t element_bytes) {
    const uint64_t count = U64();
    if (count > bytes_.size() / element_bytes) ok_ = false;
    return ok_ ? count : 0;
  }

  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && bytes_.empty(); }

 private:
  template <typename T>
  T Raw() {
    T value{};
    if (!ok_ || bytes_.size() < sizeof value) {
      ok_ = false;
      return T{};
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }

  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace weightmesh
