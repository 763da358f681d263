// Text from outside made safe.
#include "daemon/core/clean_text.h"

#include <cstdint>

namespace weightmesh {
namespace {

// Bytes of the printable character that `text` begins with; 0 when there is none.
// REQUIRES: `text` is not empty.
size_t CharacterBytes(absl::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return first < 0x20 || first == 0x7f ? 0 : 1;
  const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return 0;
  uint32_t code = first & (0xff >> (bytes + 1));
  for (size_t k = 1; k < bytes; ++k) {
    const auto next = static_cast<uint8_t>(text[k]);
    if ((next & 0xc0) != 0x80) return 0;
    code = code << 6 | (next & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  const bool control = code < 0xa0;  // C1
  return code < kLeast[bytes] || code > 0x10ffff || surrogate || control ? 0 : bytes;
}

}  // namespace

std::string CleanText(absl::string_view text, size_t bytes_max) {
  std::string clean;
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    const size_t taken = bytes == 0 ? 1 : bytes;
    if (clean.size() + taken > bytes_max) {
      clean += "…";
      break;
    }
    if (bytes == 0) {
      clean += '?';
    } else {
      clean.append(text.data(), bytes);
    }
    text.remove_prefix(taken);
  }
  return clean;
}

bool IsCleanText(absl::string_view text) {
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

}  // namespace weightmesh
