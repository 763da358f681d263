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

void Take(Input* input) {
  const uint8_t kind = input->Byte() % 4;
  const std::string bytes = input->Rest();
  switch (kind) {
    case 0:
    case 1:
      return TakeSync(bytes, kind == 1);
    case 2:
      return Checked<v1::ConnectRequest>(bytes, ToConnectRequest).status().IgnoreError();
    case 3:
      return Checked<v1::ConnectReply>(bytes, ToConnectReply).status().IgnoreError();
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
