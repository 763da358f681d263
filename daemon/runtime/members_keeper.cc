// One file at a time, the newest.
#include "daemon/runtime/members_keeper.h"

#include <spdlog/spdlog.h>

#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "daemon/runtime/members_file.h"

namespace weightmesh {

MembersKeeper::MembersKeeper(std::string folder)
    : folder_(std::move(folder)), thread_([this] { Run(); }) {}

MembersKeeper::~MembersKeeper() {
  {
    MutexLock lock(&mutex_);
    ending_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void MembersKeeper::Keep(std::vector<LastMember> members) {
  MutexLock lock(&mutex_);
  next_ = std::move(members);
  changed_.notify_one();
}

void MembersKeeper::Run() {
  std::string failure;  // the last one
  while (true) {
    std::vector<LastMember> members;
    {
      MutexLock lock(&mutex_);
      std::unique_lock<std::mutex> held(mutex_.native(), std::adopt_lock);
      while (!next_.has_value() && !ending_) changed_.wait(held);
      held.release();
      if (!next_.has_value()) return;
      members = *std::exchange(next_, std::nullopt);
    }
    const absl::Status written = WriteMembers(folder_, members);
    if (!written.ok() && written.message() != failure) {
      spdlog::warn("the members that are known now are not kept: {}",
                   std::string(written.message()));
    }
    failure = std::string(written.message());
  }
}

}  // namespace weightmesh
