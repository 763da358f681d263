// letter_trainer's command line.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/examples/dataset.h"
#include "client/examples/training.h"

namespace letter {

enum class Method {
  kMesh,       // one replica, over weightmesh
  kAllReduce,  // all replicas in this process, gradients averaged exactly
  kNone,       // one replica, or all one after the other, without communication
};

struct Options {
  Method method = Method::kMesh;
  bool all_replicas = false;  // of kNone: train every replica, not one
  TrainingOptions training;
  MeshOptions mesh;
  ScoreOn score_on = ScoreOn::kTest;
  std::string data_file;
  std::string result_file;            // empty: none
  std::string weights_file;           // empty: none
  std::vector<std::string> evaluate;  // weights files to score instead of training
};

// What the command line asks for, or nothing: then `*exit_code` is set, and the help, or an error
// that names the option and the cure, has been printed.
std::optional<Options> ParseCommandLine(int argc, const char* const* argv, int* exit_code);

// "lockstep", …: as --mode takes it.
std::string ModeName(weightmesh_mode mode);

// The peak rate chosen on rows 14,001–16,000; of kMesh in all modes. See README.md.
double DefaultLearningRate(Method method);

}  // namespace letter
