// OtherUser: while it lives, this thread acts as another user; only root can become one.
//
// By the kernel's own calls: those of the C library make every thread of the process that user, the
// daemon's under test, too, which would then take the stranger for one of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

namespace weightmesh {

inline bool IsRoot() { return ::geteuid() == 0; }

// What tests that must become somebody else say where they cannot.
#define WEIGHTMESH_SKIP_UNLESS_ROOT() \
  if (!::weightmesh::IsRoot()) GTEST_SKIP() << "only root can act as another user: run it as root"

class OtherUser {
 public:
  OtherUser(uid_t user, gid_t group, const std::vector<gid_t>& groups) {
    const int count = ::getgroups(0, nullptr);
    former_groups_.resize(static_cast<size_t>(count));
    EXPECT_EQ(::getgroups(count, former_groups_.data()), count);
    Become(user, group, groups);
  }
  ~OtherUser() {
    EXPECT_EQ(::syscall(SYS_setresuid, -1, 0, -1), 0);
    Become(0, 0, former_groups_);
  }
  OtherUser(const OtherUser&) = delete;
  OtherUser& operator=(const OtherUser&) = delete;

 private:
  // REQUIRES: acts as root.
  static void Become(uid_t user, gid_t group, const std::vector<gid_t>& groups) {
    EXPECT_EQ(::syscall(SYS_setgroups, groups.size(), groups.data()), 0);
    EXPECT_EQ(::syscall(SYS_setresgid, -1, group, -1), 0);
    EXPECT_EQ(::syscall(SYS_setresuid, -1, user, -1), 0);
  }

  std::vector<gid_t> former_groups_;
};

}  // namespace weightmesh
