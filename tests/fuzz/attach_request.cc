// Fuzz target: what a trainer says over the attach socket, from its bytes to what the core does.
//
// First byte even: the rest is the socket's stream, and comes in pieces of the second byte's size.
// Odd: the rest is the payload of a whole attach request.
#include <cstring>

#include "daemon/core/check.h"
#include "daemon/mem/arena.h"
#include "daemon/mem/founding.h"
#include "daemon/mem/schema.h"
#include "daemon/runtime/message_reader.h"
#include "tests/fuzz/input.h"
#include "tests/testing/core_harness.h"

namespace weightmesh::fuzz {
namespace {

using testing_support::CoreHarness;

constexpr AttachId kAttach{1};

// A run of one replica starts at once, a larger one waits; the trainer goes in either case.
void GiveToCore(const AttachRequested& event) {
  CoreHarness harness;
  size_t ends = 0;
  const auto count_ends = [&] {
    ends += harness.All<RefuseAttach>().size() + harness.All<FreeArena>().size();
  };
  harness.Step(event);
  count_ends();
  harness.Advance(absl::Seconds(1));
  count_ends();
  if (ends == 0) harness.Step(TrainerGone{kAttach});
  if (ends == 0) count_ends();
  WEIGHTMESH_CHECK(ends == 1, "an attach ends more or less than once");
}

void TakeRequest(const std::string& payload) {
  attach::AttachRequest request;
  if (!attach::Decode(payload, &request)) return;
  WEIGHTMESH_CHECK(attach::Encode(request) == payload, "a request reads otherwise than written");
  const absl::StatusOr<Schema> schema = MakeSchema(request, {.segments_max = 64});
  if (!schema.ok()) return;
  WEIGHTMESH_CHECK(DescribeSchemaDifference(*schema, *schema).empty(), "a schema unlike itself");
  const absl::StatusOr<AttachRequested> event = ToAttachRequested(kAttach, request, *schema);
  if (!event.ok()) return;
  const absl::StatusOr<ArenaLayout> layout = LayOutArena(ToArenaSpec(request, *schema));
  WEIGHTMESH_CHECK(layout.ok() && layout->segments.size() == schema->segments(),
                   "an arena without all segments");
  const SegmentPlace& last = layout->segments.back();
  WEIGHTMESH_CHECK(last.offset + last.total_bytes <= layout->snapshot_bytes,
                   "a segment beyond its slot");
  WEIGHTMESH_CHECK(layout->InboxOffset(1) + layout->snapshot_bytes == layout->arena_bytes,
                   "an inbox beyond the arena");
  GiveToCore(*event);
}

void TakeStream(Input* input) {
  const size_t piece_bytes = size_t{input->Byte()} + 1;
  MessageReader reader;
  while (!input->AtEnd()) {
    const std::string piece = input->Bytes(piece_bytes);
    absl::string_view rest = piece;
    while (!rest.empty()) {
      const size_t taken = reader.Feed(rest);
      if (reader.fault() != MessageReader::Fault::kNone) return;
      WEIGHTMESH_CHECK(taken == rest.size() || reader.complete(), "bytes are left lying");
      rest.remove_prefix(taken);
      if (!reader.complete()) continue;
      const auto type = static_cast<attach::MessageType>(reader.header().type);
      const std::string payload = reader.TakePayload();
      if (type == attach::MessageType::kAttachRequest) TakeRequest(payload);
    }
  }
}

}  // namespace
}  // namespace weightmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weightmesh::fuzz::Input input(data, size);
  if (input.Byte() % 2 == 0) {
    weightmesh::fuzz::TakeStream(&input);
  } else {
    weightmesh::fuzz::TakeRequest(input.Rest());
  }
  return 0;
}
