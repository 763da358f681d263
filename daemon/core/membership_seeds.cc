// Membership: the addresses that are asked for ever, whoever answers there.
#include <algorithm>
#include <set>
#include <utility>

#include "daemon/core/membership.h"

namespace weightmesh {
namespace {

// Syncs open at once with seeds, of which a name may give thousands. They take turns.
constexpr size_t kSeedSyncsMax = 64;
constexpr absl::Duration kSeedAskedAgain = absl::Minutes(1);

}  // namespace

// Not where a peer is asked anyway; and seldom where one answered that still does, or this node
// itself: behind one address there may be several daemons, or another one than before.
void Membership::AskSeeds(absl::Time now, Actions* actions) {
  std::vector<Seed*> due;
  size_t open = 0;
  for (Seed& seed : seeds_) {
    if (seed.open) ++open;
    if (seed.open || now < seed.next_try) continue;
    seed.next_try = now + options_.sync_interval;
    const Peer* known = Find(seed.node);
    const bool answers =
        seed.node == options_.self.node_id || (known != nullptr && !known->silent());
    if (answers && now < seed.answered_at + kSeedAskedAgain) continue;
    due.push_back(&seed);
  }
  std::erase_if(due, [this](const Seed* seed) { return !At(seed->address).empty(); });
  const size_t room = kSeedSyncsMax - std::min(kSeedSyncsMax, open);
  std::stable_sort(due.begin(), due.end(),
                   [](const Seed* a, const Seed* b) { return a->tried_at < b->tried_at; });
  if (due.size() > room) due.resize(room);
  for (Seed* seed : due) {
    seed->open = true;
    seed->tried_at = now;
    actions->push_back(Sync{seed->address, SyncTimeout(options_.sync_interval)});
  }
  next_seed_ = absl::InfiniteFuture();
  for (const Seed& seed : seeds_) WakeForSeed(now, seed);
}

void Membership::AddSeed(absl::Time now, const std::string& address, bool is_found) {
  if (address == options_.self.control_address) return;
  Seed seed;
  seed.address = address;
  seed.is_found = is_found;
  seed.next_try = now;
  seeds_.push_back(std::move(seed));
}

void Membership::FindSeeds(absl::Time now, const std::vector<std::string>& addresses) {
  const std::set<absl::string_view> found(addresses.begin(), addresses.end());
  std::erase_if(seeds_, [&found](const Seed& seed) {
    return seed.is_found && !found.contains(seed.address);
  });
  std::set<std::string> known;
  for (const Seed& seed : seeds_) known.insert(seed.address);
  for (const std::string& address : addresses) {
    if (known.insert(address).second) AddSeed(now, address, /*is_found=*/true);
  }
  next_seed_ = std::min(next_seed_, now);
}

}  // namespace weightmesh
