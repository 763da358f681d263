// Framing: any cut of the bytes gives the same messages, and bad headers are told apart.
#include "daemon/runtime/message_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace weightmesh {
namespace {

using attach::MessageType;
using Fault = MessageReader::Fault;

attach::MessageHeader GoodHeader(MessageType type, uint32_t payload_bytes) {
  return {attach::kMagic, attach::kVersion, static_cast<uint16_t>(type), payload_bytes, 0};
}

std::string BytesOf(const attach::MessageHeader& header, const std::string& payload = "") {
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes + payload;
}

TEST(MessageReaderTest, AnyCutGivesTheSameMessages) {
  const std::string stream = BytesOf(GoodHeader(MessageType::kAttachRequest, 5), "hello") +
                             BytesOf(GoodHeader(MessageType::kLeave, 0)) +
                             BytesOf(GoodHeader(MessageType::kAttachProgress, 1), "!");
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    MessageReader reader;
    std::vector<std::string> payloads;
    for (size_t at = 0; at < stream.size(); at += piece) {
      absl::string_view bytes = absl::string_view(stream).substr(at, piece);
      while (!bytes.empty()) {
        bytes.remove_prefix(reader.Feed(bytes));
        ASSERT_EQ(reader.fault(), Fault::kNone);
        if (reader.complete()) payloads.push_back(reader.TakePayload());
      }
    }
    EXPECT_EQ(payloads, (std::vector<std::string>{"hello", "", "!"})) << piece;
  }
}

Fault FaultOf(const attach::MessageHeader& header) {
  MessageReader reader;
  for (const char byte : BytesOf(header)) {
    if (reader.fault() != Fault::kNone) break;
    EXPECT_FALSE(reader.complete());
    reader.Feed(absl::string_view(&byte, 1));
  }
  return reader.fault();
}

TEST(MessageReaderTest, TellsFaultsApart) {
  attach::MessageHeader header = GoodHeader(MessageType::kAttachRequest, 1);
  EXPECT_EQ(FaultOf(header), Fault::kNone);
  header.magic = 0x20544547;  // "GET "
  EXPECT_EQ(FaultOf(header), Fault::kMagic);
  header = GoodHeader(MessageType::kAttachRequest, 1);
  header.version = attach::kVersion + 1;
  header.payload_bytes = UINT32_MAX;  // means something else there, perhaps
  EXPECT_EQ(FaultOf(header), Fault::kVersion);
  EXPECT_EQ(FaultOf(GoodHeader(MessageType::kAttachRequest, attach::kPayloadBytesMax)),
            Fault::kNone);
  EXPECT_EQ(FaultOf(GoodHeader(MessageType::kAttachRequest, attach::kPayloadBytesMax + 1)),
            Fault::kTooLong);
  EXPECT_EQ(FaultOf(GoodHeader(MessageType{0}, 1)), Fault::kHeader);
  EXPECT_EQ(FaultOf(GoodHeader(MessageType{9}, 1)), Fault::kHeader);
  header = GoodHeader(MessageType::kAttachRequest, 1);
  header.reserved = 1;
  EXPECT_EQ(FaultOf(header), Fault::kHeader);
}

}  // namespace
}  // namespace weightmesh
