// Fuzz target: active messages, from their bytes to what the core does about them.
//
// The first byte chooses the mode of the run. Then steps: a byte that says what happens, and its
// values. Most are messages of peers, in any order and with any bytes.
#include <cstring>
#include <variant>

#include "daemon/transport/received_frame.h"
#include "tests/fuzz/core_world.h"
#include "tests/fuzz/input.h"

namespace weightmesh::fuzz {
namespace {

constexpr int kStepsMax = 64;
constexpr size_t kHeaderBytesMax = 128;

using testing_support::CoreHarness;

class Frames {
 public:
  explicit Frames(Input* input) : input_(*input), world_(ModeOf(input->Byte())) {}

  void Run() {
    for (int step = 0; step < kStepsMax && !input_.AtEnd(); ++step) One();
    world_.End();
  }

 private:
  NodeId Peer() { return CoreHarness::NodeOf(1 + input_.Byte() % CoreWorld::kPeers); }

  void One() {
    switch (input_.Byte() % 10) {
      case 0:
        return Message(wire::FrameType::kPullRequest, sizeof(wire::PullRequestFrame));
      case 1:
        return Message(wire::FrameType::kPullAnswer, sizeof(wire::PullAnswerFrame));
      case 2:
        return Message(wire::FrameType::kPullCancel, sizeof(wire::PullCancelFrame));
      case 3:
        return Message(static_cast<wire::FrameType>(input_.Byte()), input_.Byte());
      case 4:
        return OpenPullAnswered();
      case 5:
        return world_.EndPull(world_.PullOf(input_.Byte()),
                              static_cast<PullEnd>(input_.Byte() % 5));
      case 6:
        return world_.EndSend(world_.SendOf(input_.Byte()), input_.Byte() % 2 == 0);
      case 7:
        return world_.Advance(absl::Milliseconds(input_.Take<uint16_t>() % 4096));
      case 8:
        return Round();
      case 9:
        return world_.Step(LinkDown{Peer(), "the fuzzer cut it"});
    }
  }

  // A message of `header_bytes` bytes, with or without data.
  void Message(wire::FrameType type, size_t header_bytes) {
    const NodeId peer = Peer();
    const uint8_t how = input_.Byte();
    const std::string header = input_.Bytes(std::min(header_bytes, kHeaderBytesMax));
    const std::optional<ReceivedFrame> frame =
        ReadFrame({type, header.data(), header.size(), how / 2u, how % 2 == 1});
    if (!frame.has_value()) return;
    WEIGHTMESH_CHECK(frame->index() + 1 == static_cast<size_t>(type), "a frame of another type");
    if (const auto* request = std::get_if<wire::PullRequestFrame>(&*frame)) {
      world_.Step(PullRequested{ToPullRequest(peer, *request)});
    } else if (const auto* answer = std::get_if<wire::PullAnswerFrame>(&*frame)) {
      Answered(ToPullAnswer(peer, *answer));
    } else if (const auto* cancel = std::get_if<wire::PullCancelFrame>(&*frame)) {
      world_.Step(PullCancelled{peer, RequestId{cancel->request_id}});
    }
  }

  // An answer as a peer would send it, but for what it says.
  void OpenPullAnswered() {
    const auto pull = world_.Pull(input_.Byte());
    if (!pull.has_value()) return;
    PullAnswer answer;
    answer.peer = pull->peer;
    answer.request_id = pull->request_id;
    answer.run_key = pull->run_key;
    answer.segment = pull->segment;
    answer.verdict = static_cast<wire::Verdict>(1 + input_.Byte() % 7);
    answer.round = weightmesh::Round{input_.Take<uint64_t>()};
    answer.newest_round = weightmesh::Round{input_.Take<uint64_t>()};
    Answered(answer);
  }

  void Answered(const PullAnswer& answer) {
    world_.Answer(answer);
    if (answer.verdict != wire::Verdict::kData && IsFinal(answer.verdict)) {
      world_.EndPull(answer.request_id, PullEnd::kNoData);
    }
  }

  // The trainer publishes its next round and collects.
  void Round() {
    if (!world_.attached()) return;
    ++round_;
    world_.harness().keeper.taken = input_.Byte() % 4 == 3;
    world_.Step(Published{CoreWorld::kAttach, weightmesh::Round{round_},
                          SlotId{static_cast<uint32_t>(round_ % CoreWorld::kSlots)}});
    if (world_.attached()) {
      world_.Step(CollectRequested{CoreWorld::kAttach, weightmesh::Round{round_}});
    }
  }

  Input& input_;
  CoreWorld world_;
  uint64_t round_ = 0;
};

}  // namespace
}  // namespace weightmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weightmesh::fuzz::Input input(data, size);
  weightmesh::fuzz::Frames(&input).Run();
  return 0;
}
