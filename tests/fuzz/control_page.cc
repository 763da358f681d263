// Fuzz target: a trainer that writes whatever it likes into its control page, and what the daemon
// makes of it, up to the core.
//
// The first byte chooses the mode of the run. Then steps: a byte that says what happens, and its
// values.
#include <cmath>
#include <cstring>
#include <variant>

#include "daemon/mem/command_reader.h"
#include "daemon/mem/page_writer.h"
#include "daemon/mem/slot_words.h"
#include "tests/fuzz/core_world.h"
#include "tests/fuzz/input.h"
#include "tests/mem/test_arena.h"

namespace weightmesh::fuzz {
namespace {

using control_page::Command;
using control_page::ControlPage;

constexpr int kStepsMax = 64;

class HostileTrainer {
 public:
  explicit HostileTrainer(Input* input)
      : input_(*input),
        world_(ModeOf(input->Byte())),
        reader_(CoreWorld::kAttach, arena_.get()),
        words_(&arena_.page(), CoreWorld::kSlots, [this] { ++rung_; }) {}

  void Run() {
    for (int step = 0; step < kStepsMax && !input_.AtEnd(); ++step) {
      One();
      PassDelivered();
    }
    Drain();
    world_.End();
  }

 private:
  void One() {
    switch (input_.Byte() % 8) {
      case 0:
        return Scribble();
      case 1:
        return Post(input_.Take<uint64_t>(), input_.Take<uint32_t>(), input_.Take<uint32_t>());
      case 2:  // one that makes sense, mostly
        return Post(Value(world_.delivered_round()) + input_.Byte(), input_.Byte() % 6,
                    input_.Byte() % 4);
      case 3:
        return Drain();
      case 4:
        return World();
      case 5:
        return Scalars();
      case 6: {
        control_page::MixedSegment& row = arena_.mixed(input_.Byte() % CoreWorld::kSegments);
        row.outcome = input_.Byte();
        row.difference_squared = input_.Take<double>();
        return;
      }
      case 7: {
        const SlotId slot{input_.Byte() % CoreWorld::kSlots};
        arena_.page().slot_words[Value(slot)].store(input_.Take<uint64_t>());
        return;
      }
    }
  }

  // Any bytes anywhere in the page and its tables.
  void Scribble() {
    const size_t offset = input_.Take<uint16_t>() % arena_->control_bytes();
    const std::string bytes = input_.Bytes(input_.Byte());
    std::memcpy(arena_->bytes().data() + offset, bytes.data(),
                std::min<size_t>(bytes.size(), arena_->control_bytes() - offset));
  }

  void Post(uint64_t round, uint32_t kind, uint32_t slot) {
    ControlPage& page = arena_.page();
    const uint64_t posted = page.commands_posted.load();
    Command& command = page.commands[posted % control_page::kCommandsMax];
    command.round = round;
    command.kind = kind;
    command.slot = slot;
    page.commands_posted.store(posted + 1);
  }

  void Drain() {
    // The daemon closes the attachment of a trainer whose ring makes no sense.
    if (!reader_.Drain([this](const Event& event) { On(event); }).ok()) world_.TrainerGoes();
  }

  void On(const Event& event) {
    if (const auto* published = std::get_if<Published>(&event)) {
      Check(published->round);
      WEIGHTMESH_CHECK(Value(published->slot) < CoreWorld::kSlots, "a slot that is not there");
      if (words_.Hold(published->slot, published->round)) {
        words_.Release(published->slot, published->round);
      }
    } else if (const auto* skipped = std::get_if<PublishSkipped>(&event)) {
      Check(skipped->round);
    } else if (const auto* collect = std::get_if<CollectRequested>(&event)) {
      Check(collect->round);
    } else if (std::holds_alternative<CaughtUp>(event)) {
      // Says nothing but whose.
    } else if (const auto* wish = std::get_if<AgreementWanted>(&event)) {
      Check(wish->round);
      WEIGHTMESH_CHECK(wish->distance >= 0, "a distance below 0, or none");
    } else if (const auto* mixed = std::get_if<Mixed>(&event)) {
      Check(mixed->round);
      Check(*mixed);
    } else {
      WEIGHTMESH_CHECK(false, "an event that no command stands for");
    }
    if (!world_.attached()) return;
    world_.Step(event);
    PassDelivered();
  }

  // As the daemon does at once.
  void PassDelivered() {
    if (world_.deliveries() == deliveries_) return;
    deliveries_ = world_.deliveries();
    reader_.ExpectMixed(world_.delivered_round(), world_.delivered());
    PageWriter(arena_.get()).WriteCollected(world_.delivered_round(), world_.delivered());
  }

  static void Check(Round round) {
    WEIGHTMESH_CHECK(round > kNoRound && round <= kRoundMax, "a round out of range");
  }
  void Check(const Mixed& mixed) {
    WEIGHTMESH_CHECK(mixed.segments.size() == CoreWorld::kSegments, "a mix lacks segments");
    for (size_t i = 0; i < mixed.segments.size(); ++i) {
      const MixedSegmentResult& result = mixed.segments[i];
      const bool delivered =
          mixed.round == world_.delivered_round() && world_.delivered()[i].delivered;
      WEIGHTMESH_CHECK(
          delivered == (result.outcome == Outcome::kArrived ||
                        result.outcome == Outcome::kCorrupt || result.outcome == Outcome::kRefused),
          "a mix of what was not delivered");
      WEIGHTMESH_CHECK(std::isfinite(result.difference_squared) && result.difference_squared >= 0,
                       "a distance that is none");
    }
  }

  // Something else goes on.
  void World() {
    const uint8_t what = input_.Byte();
    switch (what % 4) {
      case 0:
        return world_.Advance(absl::Milliseconds(input_.Byte() * 8));
      case 1: {
        const auto pull = world_.Pull(input_.Byte());
        if (!pull.has_value()) return;
        world_.Answer(testing_support::CoreHarness::AnswerTo(
            {*pull, CoreWorld::kAttach, 0}, wire::Verdict::kData, Value(pull->round)));
        return world_.EndPull(pull->request_id, PullEnd::kLanded);
      }
      case 2: {
        const uint32_t peer = 1 + input_.Byte() % CoreWorld::kPeers;
        return world_.Step(PullRequested{world_.harness().RequestFrom(
            peer, ++requests_, Value(world_.delivered_round()) + input_.Byte() % 4,
            input_.Byte() % CoreWorld::kSegments)});
      }
      case 3:
        return world_.EndSend(world_.SendOf(input_.Byte()), what < 128);
    }
  }

  void Scalars() {
    for (const auto& [name, value] : reader_.Scalars()) {
      WEIGHTMESH_CHECK(!name.empty() && name.size() < control_page::kScalarNameBytesMax,
                       "a scalar's name without an end");
    }
  }

  Input& input_;
  CoreWorld world_;
  TestArena arena_{{0, 10, 20, 30}, CoreWorld::kSlots};
  CommandReader reader_;
  SlotWords words_;
  uint64_t rung_ = 0;
  uint64_t requests_ = 0;
  uint64_t deliveries_ = 0;
};

}  // namespace
}  // namespace weightmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weightmesh::fuzz::Input input(data, size);
  weightmesh::fuzz::HostileTrainer(&input).Run();
  return 0;
}
