// OtherUser: while it lives, this process acts as another user; only root can become one.
#pragma once

#include <grp.h>
#include <gtest/gtest.h>
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
    EXPECT_EQ(::setgroups(groups.size(), groups.data()), 0);
    EXPECT_EQ(::setegid(group), 0);
    EXPECT_EQ(::seteuid(user), 0);
  }
  ~OtherUser() {
    EXPECT_EQ(::seteuid(0), 0);
    EXPECT_EQ(::setegid(0), 0);
    EXPECT_EQ(::setgroups(former_groups_.size(), former_groups_.data()), 0);
  }
  OtherUser(const OtherUser&) = delete;
  OtherUser& operator=(const OtherUser&) = delete;

 private:
  std::vector<gid_t> former_groups_;
};

}  // namespace weightmesh
