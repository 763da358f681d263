// Framing of the attach protocol, receiving side.
#include "daemon/runtime/message_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/core/check.h"

namespace weightmesh {

size_t MessageReader::Feed(absl::string_view bytes) {
  WEIGHTMESH_CHECK(!complete() && fault_ == Fault::kNone, "a message waits to be taken");
  size_t taken = 0;
  if (header_bytes_ < sizeof header_) {
    taken = std::min(bytes.size(), sizeof header_ - header_bytes_);
    std::memcpy(reinterpret_cast<char*>(&header_) + header_bytes_, bytes.data(), taken);
    header_bytes_ += taken;
    // Rubbish is known by its first word already.
    if (header_bytes_ >= sizeof header_.magic && header_.magic != attach::kMagic) {
      fault_ = Fault::kMagic;
      return taken;
    }
    if (header_bytes_ < sizeof header_) return taken;
    CheckHeader();
    if (fault_ != Fault::kNone) return taken;
  }
  const size_t rest =
      std::min<size_t>(bytes.size() - taken, header_.payload_bytes - payload_.size());
  payload_.append(bytes.data() + taken, rest);
  return taken + rest;
}

void MessageReader::CheckHeader() {
  const auto type = static_cast<attach::MessageType>(header_.type);
  if (header_.version != attach::kVersion) {
    fault_ = Fault::kVersion;
  } else if (header_.payload_bytes > attach::kPayloadBytesMax) {
    fault_ = Fault::kTooLong;
  } else if (header_.reserved != 0 || type < attach::MessageType::kAttachRequest ||
             type > attach::MessageType::kBlobReply) {
    fault_ = Fault::kHeader;
  }
}

std::string MessageReader::TakePayload() {
  WEIGHTMESH_CHECK(complete(), "there is no whole message");
  header_bytes_ = 0;
  return std::exchange(payload_, std::string());
}

}  // namespace weightmesh
