// Seeds that are names: what they have now is told whenever it changes.
#include "daemon/runtime/seed_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

using ::testing::Contains;
using Addresses = std::vector<std::string>;

constexpr auto kLimit = std::chrono::seconds(60);

// A name service as the test sets it, and what was told of it. A look-up may outlive its resolver.
class NameService {
 public:
  absl::StatusOr<Addresses> LookUp(const std::string& host) {
    std::lock_guard lock(mutex_);
    ++look_ups_[host];
    changed_.notify_all();
    const auto known = hosts_.find(host);
    if (known == hosts_.end()) return absl::UnavailableError("no such name");
    return known->second;
  }
  void Tell(Addresses found) {
    std::lock_guard lock(mutex_);
    told_.push_back(std::move(found));
    changed_.notify_all();
  }
  void Set(const std::string& host, absl::StatusOr<Addresses> answer) {
    std::lock_guard lock(mutex_);
    hosts_.insert_or_assign(host, std::move(answer));
  }
  // Waits for the next thing that is told.
  Addresses Next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kLimit, [this] { return told_.size() > seen_; })) {
      return {"nothing was told"};
    }
    return told_[seen_++];
  }
  // Waits until `host` has been looked up once more, from now on.
  void AwaitLookUp(const std::string& host) {
    std::unique_lock lock(mutex_);
    const int wanted = look_ups_[host] + 2;  // the answer of one may be under way
    EXPECT_TRUE(changed_.wait_for(lock, kLimit, [&] { return look_ups_[host] >= wanted; }));
  }
  size_t told() {
    std::lock_guard lock(mutex_);
    return told_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, absl::StatusOr<Addresses>> hosts_;
  std::map<std::string, int> look_ups_;
  std::vector<Addresses> told_;
  size_t seen_ = 0;
};

class SeedResolverTest : public testing::Test {
 protected:
  SeedResolverOptions Options(Addresses seeds) {
    SeedResolverOptions options;
    options.seeds = std::move(seeds);
    options.pause_first = absl::Milliseconds(1);
    options.pause_last = absl::Milliseconds(2);
    options.look_up = [names = names_](const std::string& host) { return names->LookUp(host); };
    return options;
  }
  std::function<void(Addresses)> Found() {
    return [names = names_](Addresses found) { names->Tell(std::move(found)); };
  }

  const std::shared_ptr<NameService> names_ = std::make_shared<NameService>();
};

TEST_F(SeedResolverTest, EveryAddressOfANameIsTold) {
  names_->Set("mesh", Addresses{"10.0.0.2", "10.0.0.1", "fe80::1", "10.0.0.1"});
  SeedResolver resolver(Options({"mesh:7473"}), Found());
  EXPECT_EQ(names_->Next(), (Addresses{"10.0.0.1:7473", "10.0.0.2:7473", "[fe80::1]:7473"}));
}

TEST_F(SeedResolverTest, ItIsLookedUpAgainAndToldWhenItChanges) {
  SeedResolver resolver(Options({"mesh:7473"}), Found());
  names_->AwaitLookUp("mesh");
  EXPECT_EQ(names_->told(), 0u) << "there is no such name yet";
  names_->Set("mesh", Addresses{"10.0.0.1"});
  EXPECT_EQ(names_->Next(), Addresses{"10.0.0.1:7473"});
  names_->Set("mesh", Addresses{"10.0.0.1", "10.0.0.3"});
  EXPECT_EQ(names_->Next(), (Addresses{"10.0.0.1:7473", "10.0.0.3:7473"}));
  names_->AwaitLookUp("mesh");
  EXPECT_EQ(names_->told(), 2u) << "no change is no news";
  names_->Set("mesh", absl::UnavailableError("the name server is gone"));
  names_->AwaitLookUp("mesh");
  EXPECT_EQ(names_->told(), 2u) << "what it had stays";
  names_->Set("mesh", Addresses{"10.0.0.3"});
  EXPECT_EQ(names_->Next(), Addresses{"10.0.0.3:7473"});
}

TEST_F(SeedResolverTest, AllNamesTogether) {
  names_->Set("a", Addresses{"10.0.0.1"});
  names_->Set("b", Addresses{"10.0.0.1", "10.0.0.2"});
  SeedResolver resolver(Options({"missing:1", "a:7000", "b:7000"}), Found());
  EXPECT_EQ(names_->Next(), Addresses{"10.0.0.1:7000"}) << "no name waits for another";
  EXPECT_EQ(names_->Next(), (Addresses{"10.0.0.1:7000", "10.0.0.2:7000"}));
}

TEST_F(SeedResolverTest, TheNumberOfAddressesIsLimited) {
  Addresses many;
  for (size_t k = 0; k < kFoundSeedsMax + 10; ++k) many.push_back(absl::StrCat("10.0.", k));
  names_->Set("mesh", many);
  SeedResolver resolver(Options({"mesh:7473"}), Found());
  EXPECT_EQ(names_->Next().size(), kFoundSeedsMax);
}

TEST_F(SeedResolverTest, NobodyWaitsForALookUpThatHangs) {
  struct Hanging {
    std::mutex mutex;
    std::condition_variable changed;
    bool begun = false;
    bool released = false;
    bool left = false;
  };
  const auto hanging = std::make_shared<Hanging>();
  SeedResolverOptions options = Options({"mesh:7473"});
  options.look_up = [hanging](const std::string&) -> absl::StatusOr<Addresses> {
    std::unique_lock lock(hanging->mutex);
    hanging->begun = true;
    hanging->changed.notify_all();
    hanging->changed.wait(lock, [&] { return hanging->released; });
    hanging->left = true;
    hanging->changed.notify_all();
    return Addresses{"10.0.0.1"};
  };
  std::unique_lock lock(hanging->mutex);
  {
    auto resolver = std::make_unique<SeedResolver>(std::move(options), Found());
    ASSERT_TRUE(hanging->changed.wait_for(lock, kLimit, [&] { return hanging->begun; }));
    lock.unlock();
    resolver.reset();
    lock.lock();
  }
  EXPECT_FALSE(hanging->left);
  hanging->released = true;
  hanging->changed.notify_all();
  ASSERT_TRUE(hanging->changed.wait_for(lock, kLimit, [&] { return hanging->left; }));
  EXPECT_EQ(names_->told(), 0u);
}

TEST(LookUpHost, ByTheSystem) {
  const auto here = LookUpHost("localhost");
  ASSERT_TRUE(here.ok()) << here.status();
  EXPECT_THAT(*here, testing::AnyOf(Contains("127.0.0.1"), Contains("::1")));
  EXPECT_FALSE(LookUpHost("a name that cannot be").ok());
}

TEST(IsNamedSeed, TellsNamesFromNumbers) {
  for (const char* seed : {"localhost:1", "mesh.default.svc:7473", "node-1:7473", "1.2.3:7"}) {
    EXPECT_TRUE(IsNamedSeed(seed)) << seed;
  }
  for (const char* seed : {"127.0.0.1:1", "[fe80::1]:7473", "[fe80::1%eth0]:7473"}) {
    EXPECT_FALSE(IsNamedSeed(seed)) << seed;
  }
}

}  // namespace
}  // namespace weightmesh
