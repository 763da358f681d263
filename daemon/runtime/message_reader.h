// MessageReader: cuts the bytes of an attach socket into messages. Pure; one for each connection.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "proto/attach.h"

namespace weightmesh {

class MessageReader {
 public:
  enum class Fault {
    kNone,
    kMagic,    // not the attach protocol at all
    kVersion,  // another version of it
    kHeader,   // a reserved field or the type is wrong
    kTooLong,  // payload_bytes beyond kPayloadBytesMax
  };

  // Takes in bytes up to the end of one message, and returns how many; fewer than given only when
  // complete() or fault(). Memory grows with what came, not with what was announced.
  // REQUIRES: neither complete() nor fault().
  size_t Feed(absl::string_view bytes);

  // The header is whole and good.
  bool has_header() const { return header_bytes_ == sizeof header_ && fault_ == Fault::kNone; }
  // REQUIRES: has_header(), or a fault other than kMagic.
  const attach::MessageHeader& header() const { return header_; }
  // A whole message is there.
  bool complete() const { return has_header() && payload_.size() == header_.payload_bytes; }
  Fault fault() const { return fault_; }

  // The payload of the message that is complete; begins the next. REQUIRES: complete().
  std::string TakePayload();

 private:
  void CheckHeader();

  attach::MessageHeader header_{};
  size_t header_bytes_ = 0;
  std::string payload_;
  Fault fault_ = Fault::kNone;
};

}  // namespace weightmesh
