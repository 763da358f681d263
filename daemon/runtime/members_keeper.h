// MembersKeeper: writes the last known members into the state directory. The disk may block for
// seconds, so it has a thread of its own, and nobody waits for that.
#pragma once

#include <condition_variable>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "daemon/core/last_member.h"
#include "daemon/core/mutex.h"

namespace weightmesh {

class MembersKeeper {
 public:
  // Into `folder`, which must be there and this daemon's alone.
  explicit MembersKeeper(std::string folder);
  // Returns once what was to be kept last is written, or could not be.
  ~MembersKeeper();
  MembersKeeper(const MembersKeeper&) = delete;
  MembersKeeper& operator=(const MembersKeeper&) = delete;

  // `members` are to be on the disk in the place of all earlier ones, soon; of several that wait
  // the last is written. A failure is logged once for each reason. Any thread; never blocks.
  void Keep(std::vector<LastMember> members);

 private:
  void Run();

  const std::string folder_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::vector<LastMember>> next_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace weightmesh
