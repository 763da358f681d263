// weightmesh_set_blob: what a trainer wants replicas that join to be given.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/include/weightmesh/weightmesh.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

class BlobTest : public testing::Test {
 protected:
  BlobTest() : model_({30, 5}, 1) {
    weightmesh_options options = WEIGHTMESH_INIT(weightmesh_options);
    options.socket_path = daemon_.socket_path().c_str();
    options.run_id = "run";
    EXPECT_EQ(
        weightmesh_attach(&options, model_.described.data(), model_.Pointers().data(), 2, &handle_),
        WEIGHTMESH_OK);
  }
  ~BlobTest() override { weightmesh_detach(handle_); }
  weightmesh_status Set(const std::string& blob) {
    return weightmesh_set_blob(handle_, blob.data(), blob.size());
  }
  std::string message() const { return weightmesh_message(handle_); }

  TestModel model_;
  weightmesh_handle* handle_ = nullptr;
  FakeDaemon daemon_;
};

TEST_F(BlobTest, AnyBytesReachTheDaemonAndTheLastOnesCount) {
  const std::string bytes("\0step 7\xff", 8);
  EXPECT_EQ(Set(bytes), WEIGHTMESH_OK);
  EXPECT_EQ(daemon_.WaitForBlob(8), bytes);
  const std::string large(WEIGHTMESH_BLOB_BYTES_MAX, 'x');
  EXPECT_EQ(Set(large), WEIGHTMESH_OK);
  EXPECT_EQ(daemon_.WaitForBlob(large.size()), large);
  EXPECT_EQ(weightmesh_set_blob(handle_, nullptr, 0), WEIGHTMESH_OK) << "takes it back";
  EXPECT_EQ(daemon_.WaitForBlob(0), "");
}

TEST_F(BlobTest, WhatIsTooLargeOrMissingIsRefused) {
  EXPECT_EQ(Set(std::string(WEIGHTMESH_BLOB_BYTES_MAX + 1, 'x')), WEIGHTMESH_INVALID);
  EXPECT_NE(message().find("has 65537 bytes"), std::string::npos);
  EXPECT_EQ(weightmesh_set_blob(handle_, nullptr, 1), WEIGHTMESH_INVALID);
  EXPECT_NE(message().find("blob is null"), std::string::npos);
}

TEST_F(BlobTest, WhoHasLeftIsAlone) {
  ASSERT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK);
  EXPECT_EQ(Set("step 8"), WEIGHTMESH_ALONE);
}

}  // namespace
}  // namespace weightmesh::client
