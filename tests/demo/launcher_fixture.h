// LauncherTest: the whole launcher with the real daemon and trainer, in a folder of its own.
#pragma once

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "deploy/demo/child_process.h"
#include "tests/config/temporary_folder.h"

namespace weightmesh::demo {

class LauncherTest : public ::testing::Test {
 protected:
  std::unique_ptr<ChildProcess> Start(const std::vector<std::string>& options) {
    Command command;
    command.name = "weightmesh_demo";
    command.arguments = {getenv("WEIGHTMESH_DEMO"), "--work-dir", folder_.path() + "/work"};
    command.arguments.insert(command.arguments.end(), options.begin(), options.end());
    command.log_file = folder_.path() + "/error";
    command.output_file = folder_.path() + "/output";
    auto child = ChildProcess::Start(command);
    EXPECT_TRUE(child.ok()) << child.status();
    return child.ok() ? *std::move(child) : nullptr;
  }
  std::string Output() { return ReadFile(folder_.path() + "/output"); }
  std::string Errors() { return ReadFile(folder_.path() + "/error"); }
  // Of --output json.
  google::protobuf::Struct Document() {
    google::protobuf::Struct document;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(Output(), &document).ok()) << Output();
    return document;
  }

  TemporaryFolder folder_;
};

}  // namespace weightmesh::demo
