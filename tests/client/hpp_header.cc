// A trainer of twenty lines: weightmesh.hpp must compile alone, as C++17. Not run.
#include "weightmesh/weightmesh.hpp"

double TrainOneStep(std::vector<float>* weights);

void Train(int steps) {
  std::vector<float> weights(128 * 16);
  const std::vector<weightmesh::Tensor> model = {{"layer1", {128, 16}, weights.data()}};
  weightmesh::Options options;
  options.run_id = "letters";
  options.replicas_min = 4;
  options.mode = WEIGHTMESH_ASYNC;
  options.staleness_rounds_max = 4;
  weightmesh::Replica replica(options, model);
  for (int step = 0; step < steps; ++step) {
    const double loss = TrainOneStep(&weights);
    replica.Step(model);
    replica.Report("loss", loss);
  }
  replica.Leave();
}
