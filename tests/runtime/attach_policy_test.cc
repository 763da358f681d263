// Who may attach: rules by themselves, what the kernel says of a peer, and both at a real socket.
#include "daemon/runtime/attach_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/runtime/attach_server_fixture.h"
#include "tests/testing/other_user.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uid_t kStranger = 4711;
constexpr gid_t kStrangersGroup = 4712;
constexpr gid_t kTrainers = 4242;

TEST(AttachPolicyTest, AdmitsTheDaemonsUserAndRoot) {
  EXPECT_TRUE(CheckPeer({1000, 100, {}}, 1000, std::nullopt).ok());
  EXPECT_TRUE(CheckPeer({0, 0, {}}, 1000, std::nullopt).ok());
  const absl::Status status = CheckPeer({1001, 100, {100, 27}}, 1000, std::nullopt);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("user 1001 (groups 100, 27)"), HasSubstr("user 1000"),
                    HasSubstr("attach_group")));
  EXPECT_FALSE(CheckPeer({1000, 100, {}}, 0, std::nullopt).ok());
}

TEST(AttachPolicyTest, AdmitsTheMembersOfTheGroup) {
  const AttachGroup trainers{kTrainers, "trainers"};
  EXPECT_TRUE(CheckPeer({1001, kTrainers, {}}, 1000, trainers).ok());
  EXPECT_TRUE(CheckPeer({1001, 100, {27, kTrainers}}, 1000, trainers).ok());
  EXPECT_TRUE(CheckPeer({1000, 100, {}}, 1000, trainers).ok());
  const absl::Status status = CheckPeer({1001, 100, {27}}, 1000, trainers);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("user 1001 (groups 100, 27)"), HasSubstr("trainers (4242)"),
                    HasSubstr("add the user to that group")));
}

TEST(AttachPolicyTest, FindsGroupsByNameAndNumber) {
  const absl::StatusOr<AttachGroup> root = FindAttachGroup("root");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->id, 0u);
  const absl::StatusOr<AttachGroup> number = FindAttachGroup("4242");
  ASSERT_TRUE(number.ok()) << number.status();
  EXPECT_EQ(number->id, kTrainers);
  const absl::Status missing = FindAttachGroup("no-such-group").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(
      std::string(missing.message()),
      AllOf(HasSubstr("attach_group"), HasSubstr("'no-such-group'"), HasSubstr("groupadd")));
  EXPECT_FALSE(FindAttachGroup("-1").ok());
}

TEST(AttachPolicyTest, KnowsThePeersUser) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const FileDescriptor first(ends[0]);
  const FileDescriptor second(ends[1]);
  const absl::StatusOr<AttachPeer> peer = PeerOf(first.get());
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->user, ::geteuid());
  EXPECT_EQ(peer->group, ::getegid());
}

TEST(AttachPolicyTest, KnowsThePeersGroups) {
  WEIGHTMESH_SKIP_UNLESS_ROOT();
  int ends[2];
  {
    const OtherUser stranger(kStranger, kStrangersGroup, {kTrainers, 4243, 4244});
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  }
  const FileDescriptor first(ends[0]);
  const FileDescriptor second(ends[1]);
  const absl::StatusOr<AttachPeer> peer = PeerOf(first.get());
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->user, kStranger);
  EXPECT_EQ(peer->group, kStrangersGroup);
  EXPECT_THAT(peer->groups, ElementsAre(kTrainers, 4243, 4244));
}

// Connecting takes the socket's mode and the daemon's consent.
class AttachPolicyServerTest : public AttachServerTest {
 protected:
  void StartFor(std::optional<AttachGroup> group) {
    ASSERT_EQ(::chmod((folder_ / "").c_str(), 0711), 0);
    AttachServerOptions options;
    options.group = std::move(group);
    Start(options);
  }
  mode_t SocketMode() const {
    struct stat found {};
    EXPECT_EQ(::lstat(path_.c_str(), &found), 0);
    return found.st_mode & 0777;
  }
  static int Connect(const std::string& path, FileDescriptor* socket) {
    *socket = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    const int failed =
        ::connect(socket->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    return failed != 0 ? errno : 0;
  }
};

TEST_F(AttachPolicyServerTest, WithoutAGroupOthersCannotEvenConnect) {
  WEIGHTMESH_SKIP_UNLESS_ROOT();
  StartFor(std::nullopt);
  EXPECT_EQ(SocketMode(), 0600u);
  FileDescriptor socket;
  const OtherUser stranger(kStranger, kStrangersGroup, {kTrainers});
  EXPECT_EQ(Connect(path_, &socket), EACCES);
}

TEST_F(AttachPolicyServerTest, AMemberOfTheGroupAttachesAndAStrangerDoesNot) {
  WEIGHTMESH_SKIP_UNLESS_ROOT();
  StartFor(AttachGroup{kTrainers, "trainers"});
  EXPECT_EQ(SocketMode(), 0660u);
  {
    FileDescriptor socket;
    const OtherUser stranger(kStranger, kStrangersGroup, {});
    EXPECT_EQ(Connect(path_, &socket), EACCES);
  }
  std::unique_ptr<TestTrainer> member;
  {
    const OtherUser trainer(kStranger, kStrangersGroup, {kTrainers});
    member = std::make_unique<TestTrainer>(path_);
  }
  Attach(member.get());
  member->Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

// Also where the socket's mode lets everybody in: an operator's chmod, or a bind mount.
TEST_F(AttachPolicyServerTest, AStrangerIsToldWhoMayAttach) {
  WEIGHTMESH_SKIP_UNLESS_ROOT();
  StartFor(AttachGroup{kTrainers, "trainers"});
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  std::unique_ptr<TestTrainer> stranger;
  {
    const OtherUser other(kStranger, kStrangersGroup, {4243});
    stranger = std::make_unique<TestTrainer>(path_);
  }
  const attach::AttachReply reply = stranger->ReceiveReply();
  EXPECT_EQ(reply.code, ReplyCode::kInvalid);
  EXPECT_THAT(reply.message, AllOf(HasSubstr("user 4711 (groups 4712, 4243)"),
                                   HasSubstr("trainers (4242)"), HasSubstr("add the user")));
  EXPECT_THAT(handler_.Next(), AllOf(StartsWith("refused"), HasSubstr("4711")));
}

TEST(AttachPolicyListenerTest, AGroupThatTheDaemonCannotGiveIsNamed) {
  WEIGHTMESH_SKIP_UNLESS_ROOT();
  TemporaryFolder folder;
  ASSERT_EQ(::chmod((folder / "").c_str(), 0777), 0);
  const OtherUser daemon(kStranger, kStrangersGroup, {4243});
  EXPECT_TRUE(AttachListener::Listen(folder / "own.sock", AttachGroup{4243, "own"}).ok());
  const absl::Status status =
      AttachListener::Listen(folder / "a.sock", AttachGroup{kTrainers, "trainers"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("trainers (4242)"), HasSubstr("daemon's user")));
  EXPECT_NE(::access((folder / "a.sock").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace weightmesh
