// Fuzz target: protobuf messages of other daemons, from their bytes to what the core does.
//
// The first byte chooses the message, the rest is it.
#include "daemon/control/convert_peer.h"
#include "daemon/control/grpc_log.h"
#include "tests/fuzz/core_world.h"
#include "tests/fuzz/input.h"

namespace weightmesh::fuzz {
namespace {

// Whatever passed the checks once passes them again, and comes out the same.
template <typename Proto, typename Convert>
auto Checked(const std::string& bytes, Convert back) {
  Proto proto;
  using Result = decltype(FromProto(proto));
  if (!proto.ParseFromString(bytes)) return Result(absl::InvalidArgumentError("not a message"));
  Result value = FromProto(proto);
  if (!value.ok()) {
    WEIGHTMESH_CHECK(!value.status().message().empty(), "an error that says nothing");
    return value;
  }
  const Proto written = back(*value);
  const Result again = FromProto(written);
  WEIGHTMESH_CHECK(again.ok(), "a message is refused the second time");
  WEIGHTMESH_CHECK(back(*again).SerializeAsString() == written.SerializeAsString(),
                   "a message changes on its way");
  return value;
}

void TakeSync(const std::string& bytes, bool asked) {
  const absl::StatusOr<SyncMessage> message =
      Checked<v1::SyncMessage>(bytes, [](const SyncMessage& value) { return ToProto(value); });
  if (!message.ok()) return;
  CoreWorld world(Mode::kLockstep);
  if (asked) {
    world.Step(SyncAnswered{testing_support::CoreHarness::AddressOf(1), *message});
  } else {
    world.Step(SyncReceived{*message});
  }
  world.Advance(absl::Seconds(3));
  world.harness().core().MakeSync();
  world.Step(SyncReceived{*message});
  world.End();
}

// What a peer gossips once, and once more when the node has had time to act on it.
void TakeGossip(const std::string& bytes, bool asked) {
  const absl::StatusOr<swim::Message> message =
      Checked<v1::GossipMessage>(bytes, [](const swim::Message& value) { return ToProto(value); });
  if (!message.ok()) return;
  CoreWorld world(Mode::kLockstep);
  if (asked) {
    world.Step(GossipAnswered{testing_support::CoreHarness::AddressOf(1), {}, *message});
  } else {
    world.Step(GossipReceived{swim::CallId{1}, *message});
  }
  world.Advance(absl::Seconds(8));
  world.Step(GossipReceived{swim::CallId{2}, *message});
  world.End();
}

void TakeIndirectProbe(const std::string& bytes) {
  const absl::StatusOr<IndirectProbeQuery> query = Checked<v1::IndirectProbeRequest>(
      bytes, [](const IndirectProbeQuery& value) { return ToProto(value); });
  if (!query.ok()) return;
  CoreWorld world(Mode::kLockstep);
  world.Step(GossipReceived{swim::CallId{1}, query->message});
  world.Step(IndirectProbeReceived{swim::CallId{2}, query->target, query->timeout, query->message});
  world.Advance(absl::Seconds(8));
  world.End();
}

void TakeIndirectProbeResult(const std::string& bytes) {
  const absl::StatusOr<IndirectProbeResult> result = Checked<v1::IndirectProbeReply>(
      bytes, [](const IndirectProbeResult& value) { return ToProto(value); });
  if (!result.ok()) return;
  CoreWorld world(Mode::kLockstep);
  world.Step(IndirectProbeAnswered{swim::ProbeId{1}, result->ack, result->message});
  world.End();
}

void Take(Input* input) {
  const uint8_t kind = input->Byte() % 8;
  const std::string bytes = input->Rest();
  switch (kind) {
    case 0:
    case 1:
      return TakeSync(bytes, kind == 1);
    case 2:
      return Checked<v1::ConnectRequest>(bytes, ToConnectRequest).status().IgnoreError();
    case 3:
      return Checked<v1::ConnectReply>(bytes, ToConnectReply).status().IgnoreError();
    case 4:
    case 5:
      return TakeGossip(bytes, kind == 5);
    case 6:
      return TakeIndirectProbe(bytes);
    case 7:
      return TakeIndirectProbeResult(bytes);
  }
}

}  // namespace
}  // namespace weightmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weightmesh::SetGrpcLogSink(nullptr);
  weightmesh::fuzz::Input input(data, size);
  weightmesh::fuzz::Take(&input);
  return 0;
}
