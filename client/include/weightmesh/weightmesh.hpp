// weightmesh.hpp: the C++ face of weightmesh.h, header-only, C++17.
//
//   std::vector<weightmesh::Tensor> model = {{"layer1", {128, 16}, w1.data()}, …};
//   weightmesh::Options options;
//   options.run_id = "letters";
//   options.replicas_min = 4;
//   weightmesh::Replica replica(options, model);  // waits for the other three
//   for (…) {
//     TrainOneStep();
//     const weightmesh::RoundResult round = replica.Exchange(model);  // mixes in place
//     replica.Report("loss", loss);
//   }
//   replica.Leave();
//
// Without a daemon nothing is thrown: RoundResult::alone says so, and the trainer trains on alone.
// When its daemon drains, Replica::drained says so.
#ifndef WEIGHTMESH_WEIGHTMESH_HPP_
#define WEIGHTMESH_WEIGHTMESH_HPP_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "weightmesh/weightmesh.h"

namespace weightmesh {

// INVALID, REFUSED, START_TIMEOUT or RESOURCES; what() names the thing and the cure.
class Error : public std::runtime_error {
 public:
  Error(weightmesh_status status, const std::string& message)
      : std::runtime_error(std::string(weightmesh_status_name(status)) + ": " + message),
        status_(status) {}

  weightmesh_status status() const { return status_; }

 private:
  weightmesh_status status_;
};

// One tensor of the model: contiguous fp32, row-major. `data` is borrowed for a call only.
struct Tensor {
  std::string name;             // not empty, unique in the model
  std::vector<uint64_t> shape;  // empty: a scalar
  float* data = nullptr;
};

// weightmesh_options; empty, or 0, takes the default given in brackets.
struct Options {
  std::string socket_path;   // of the daemon [WEIGHTMESH_SOCKET, or /run/weightmesh/attach.sock]
  std::string run_id;        // names the training job; required
  std::string replica_name;  // unique in the run [<hostname>/<LOCAL_RANK or 0>]

  // Equal on all replicas of the run:
  uint64_t seed = 0;
  weightmesh_schedule schedule = WEIGHTMESH_HASH_CYCLE;
  weightmesh_mode mode = WEIGHTMESH_LOCKSTEP;
  weightmesh_wire wire = WEIGHTMESH_FP32;
  uint32_t replicas_min = 1;  // replicas to wait for before the first round
  double alpha = 0.5;         // mixing weight, in (0, 1]
  uint64_t round_deadline_ms = 5000;
  uint64_t segments = 0;                 // equal slices of the flattened model [18]
  std::vector<uint64_t> segment_bounds;  // instead: ascending parameter indices, 0 first
  uint64_t start_round = 0;              // the first round is this + 1: set it to resume
  bool allow_different_init = false;
  uint32_t staleness_rounds_max = 0;  // async only: 1 to 1024 [8]

  // This replica's own:
  uint32_t slots = 3;        // snapshots kept, 2 to 8
  uint32_t mix_threads = 1;  // threads that publish and mix, 1 to 64
  uint64_t start_timeout_ms = 600000;
  uint32_t rejoin_timeout_ms = 30000;  // of a call that finds its daemon back [30000]
  std::function<void(const char* message)>
      progress;  // called while the constructor waits; no throw
};

// What one Exchange, Step, Publish or Mix did.
struct RoundResult {
  bool alone = false;      // nothing was published; Replica::message() says why
  uint64_t round = 0;      // that was mixed; 0: none
  uint32_t segments = 0;   // pulls that were due
  bool published = false;  // a snapshot was published in this call
  std::array<uint32_t, WEIGHTMESH_OUTCOME_COUNT> pulls = {};  // by weightmesh_outcome
  double difference_squared = 0;  // sum over mixed parameters of (peer - own)²
  double wait_seconds = 0;        // spent waiting for a slot and for pulls
  bool rejoined = false;          // the daemon was back: the tensors hold the others' weights since
};

// What Consensus came to.
struct Agreement {
  bool alone = false;             // no daemon, or drained: nothing was agreed
  bool agreed = false;            // false: not within timeout_ms
  uint64_t rounds = 0;            // that were exchanged for it
  uint64_t last_round = 0;        // the last of them, the same on all replicas
  uint64_t replicas = 0;          // in the view, this one included
  double consensus_distance = 0;  // as the replicas estimated it: no less than it is now
};

// A replica attached to the mesh. Used by one thread at a time; moving it is cheap. One whose
// daemon died joins again once that is back (Options::rejoin_timeout_ms); one that is alone from
// the start, or has left, stays so. To take part again: replica = Replica::Join(options, model).
// See weightmesh.h, "Alone".
class Replica {
 public:
  // Attaches; waits until the run starts, at most start_timeout_ms. Throws Error unless it started
  // or no daemon answers (alone() is true then). `tensors` hold the initial weights.
  Replica(const Options& options, const std::vector<Tensor>& tensors) {
    Open(options, tensors, [](auto... arguments) { return weightmesh_attach(arguments...); });
  }

  // Joins a run that has started, and takes the others' weights over into `tensors`: see
  // weightmesh_join. Throws Error unless it has joined or no daemon answers.
  static Replica Join(const Options& options, const std::vector<Tensor>& tensors) {
    Replica replica;
    weightmesh_joined joined = WEIGHTMESH_INIT(weightmesh_joined);
    replica.Open(options, tensors,
                 [&joined](const weightmesh_options* raw, const weightmesh_tensor* described,
                           float* const* weights, size_t count, weightmesh_handle** handle) {
                   return weightmesh_join(raw, described, weights, count, &joined, handle);
                 });
    replica.first_round_ = joined.round;
    if (joined.blob != nullptr) {
      replica.blob_.assign(static_cast<const char*>(joined.blob), joined.blob_bytes);
    }
    return replica;
  }

  // Without Leave, the mesh sees a death.
  ~Replica() { weightmesh_detach(handle_); }
  Replica(Replica&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)),
        alone_(other.alone_),
        drained_(other.drained_),
        first_round_(other.first_round_),
        blob_(std::move(other.blob_)),
        weights_(std::move(other.weights_)) {}
  Replica& operator=(Replica&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(alone_, other.alone_);
    std::swap(drained_, other.drained_);
    std::swap(first_round_, other.first_round_);
    std::swap(blob_, other.blob_);
    std::swap(weights_, other.weights_);
    return *this;
  }
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Lockstep: publishes, waits for the round, mixes into `tensors`.
  RoundResult Exchange(const std::vector<Tensor>& tensors) {
    return Call(tensors, weightmesh_exchange);
  }
  // Overlap and async: mixes the last step's pulls into `tensors`, publishes, starts this round's
  // pulls.
  RoundResult Step(const std::vector<Tensor>& tensors) { return Call(tensors, weightmesh_step); }
  // The halves of the above.
  RoundResult Publish(const std::vector<Tensor>& tensors) {
    return Call(tensors, [](weightmesh_handle* handle, float* const* weights, size_t count,
                            weightmesh_round* result) {
      return weightmesh_publish(handle, weights, count, result);
    });
  }
  RoundResult Mix(const std::vector<Tensor>& tensors) { return Call(tensors, weightmesh_mix); }

  // Exchanges without training until all replicas agree within `epsilon`, so that the weights of
  // any are the model: see weightmesh_consensus. All replicas call it.
  Agreement Consensus(const std::vector<Tensor>& tensors, double epsilon,
                      uint64_t timeout_ms = 60000) {
    Point(tensors);
    weightmesh_agreement raw = WEIGHTMESH_INIT(weightmesh_agreement);
    const weightmesh_status status =
        weightmesh_consensus(handle_, weights_.data(), weights_.size(), epsilon, timeout_ms, &raw);
    if (status != WEIGHTMESH_NO_CONSENSUS) Check(status);
    Agreement result;
    result.alone = alone_;
    result.agreed = status == WEIGHTMESH_OK;
    result.rounds = raw.rounds;
    result.last_round = raw.last_round;
    result.replicas = raw.replicas;
    result.consensus_distance = raw.consensus_distance;
    return result;
  }

  // Shows `value` under `name` in the daemon's statistics; at most 16 names of at most 31 bytes.
  void Report(const char* name, double value) { Check(weightmesh_report(handle_, name, value)); }
  void Report(const std::string& name, double value) { Report(name.c_str(), value); }

  // Has replicas that join from now on given these bytes, at most WEIGHTMESH_BLOB_BYTES_MAX: step,
  // learning rate, data position. They have them in blob().
  void SetBlob(const std::string& bytes) {
    Check(weightmesh_set_blob(handle_, bytes.data(), bytes.size()));
  }

  // Sums since the attach.
  weightmesh_totals Stats() {
    weightmesh_totals totals = WEIGHTMESH_INIT(weightmesh_totals);
    Check(weightmesh_stats(handle_, &totals));
    return totals;
  }

  // Leaves the run in order; the replica is alone afterwards.
  void Leave() {
    Check(weightmesh_leave(handle_));
    alone_ = true;
  }

  // First round after a Join; 0 after an attach.
  uint64_t first_round() const { return first_round_; }
  // What another trainer has given to SetBlob, after a Join; empty: none has.
  const std::string& blob() const { return blob_; }
  // True when the last call that reaches the daemon found none, or this replica has left.
  bool alone() const { return alone_; }
  // The daemon drains, and this replica has left the run in order: save, and end or go elsewhere.
  bool drained() const { return drained_; }
  // What the last call that did not succeed came to; lives until this thread asks again.
  const char* message() const { return weightmesh_message(handle_); }

 private:
  Replica() = default;

  template <typename Function>
  void Open(const Options& options, const std::vector<Tensor>& tensors, const Function& function) {
    weightmesh_options raw = WEIGHTMESH_INIT(weightmesh_options);
    Fill(options, &raw);
    std::vector<weightmesh_tensor> described;
    for (const Tensor& tensor : tensors) {
      described.push_back({tensor.name.c_str(), tensor.shape.data(), tensor.shape.size()});
    }
    Point(tensors);
    const weightmesh_status status =
        function(&raw, described.data(), weights_.data(), weights_.size(), &handle_);
    alone_ = status == WEIGHTMESH_ALONE;
    if (status == WEIGHTMESH_OK || alone_) return;
    const Error error(status, weightmesh_message(handle_));
    weightmesh_detach(std::exchange(handle_, nullptr));
    throw error;
  }

  static void Progress(const char* message, void* options) {
    static_cast<const Options*>(options)->progress(message);
  }

  static void Fill(const Options& options, weightmesh_options* raw) {
    if (!options.segment_bounds.empty() && options.segments != 0 &&
        options.segments != options.segment_bounds.size() - 1) {
      throw Error(WEIGHTMESH_INVALID,
                  "options.segments is not the number of segment_bounds less one: leave it 0");
    }
    raw->socket_path = options.socket_path.c_str();
    raw->run_id = options.run_id.c_str();
    raw->replica_name = options.replica_name.c_str();
    raw->seed = options.seed;
    raw->schedule = options.schedule;
    raw->mode = options.mode;
    raw->wire = options.wire;
    raw->replicas_min = options.replicas_min;
    raw->alpha = options.alpha;
    raw->round_deadline_ms = options.round_deadline_ms;
    raw->segments = options.segments;
    if (!options.segment_bounds.empty()) {
      raw->segments = options.segment_bounds.size() - 1;
      raw->segment_bounds = options.segment_bounds.data();
    }
    raw->start_round = options.start_round;
    raw->allow_different_init = options.allow_different_init ? 1 : 0;
    raw->slots = options.slots;
    raw->mix_threads = options.mix_threads;
    raw->start_timeout_ms = options.start_timeout_ms;
    raw->staleness_rounds_max = options.staleness_rounds_max;
    raw->rejoin_timeout_ms = options.rejoin_timeout_ms;
    if (options.progress) {
      raw->progress = Progress;
      raw->progress_context = const_cast<Options*>(&options);
    }
  }

  void Point(const std::vector<Tensor>& tensors) {
    weights_.clear();
    for (const Tensor& tensor : tensors) weights_.push_back(tensor.data);
  }

  void Check(weightmesh_status status) {
    if (status == WEIGHTMESH_DRAINED) drained_ = true;
    alone_ = status == WEIGHTMESH_ALONE || status == WEIGHTMESH_DRAINED;
    if (status != WEIGHTMESH_OK && !alone_) {
      throw Error(status, weightmesh_message(handle_));
    }
  }

  template <typename Function>
  RoundResult Call(const std::vector<Tensor>& tensors, Function function) {
    Point(tensors);
    weightmesh_round raw = WEIGHTMESH_INIT(weightmesh_round);
    Check(function(handle_, weights_.data(), weights_.size(), &raw));
    RoundResult result;
    result.alone = alone_;
    result.round = raw.round;
    result.segments = raw.segments;
    result.published = raw.published != 0;
    for (size_t k = 0; k < result.pulls.size(); ++k) result.pulls[k] = raw.pulls[k];
    result.difference_squared = raw.difference_squared;
    result.wait_seconds = raw.wait_seconds;
    result.rejoined = raw.rejoined != 0;
    return result;
  }

  weightmesh_handle* handle_ = nullptr;
  bool alone_ = false;
  bool drained_ = false;
  uint64_t first_round_ = 0;
  std::string blob_;
  std::vector<float*> weights_;  // reused by every call
};

}  // namespace weightmesh

#endif  // WEIGHTMESH_WEIGHTMESH_HPP_
