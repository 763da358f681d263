// A source and a reader of sealed segments over one transport: what a pull costs from the request
// to the mixed weights, without a daemon around.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "client/src/segment_passes.h"
#include "daemon/transport/transport.h"
#include "tests/client/test_model.h"

namespace weightmesh::bench {

constexpr NodeId kSourceNode{1, 1};
constexpr NodeId kReaderNode{1, 2};
constexpr uint64_t kSourceToken = 11;  // on frames to the source
constexpr uint64_t kReaderToken = 12;

// `segments` segments of about `segment_bytes` each on the wire, fp32.
struct Segments {
  Segments(uint64_t segments, uint64_t segment_bytes);

  client::TestModel model;
  client::ModelLayout layout;
  std::vector<std::byte> snapshot;  // the source's slot, or the reader's inbox
};

// Queues what a transport tells, for the one thread that acts on it.
class QueuedSink : public TransportSink {
 public:
  struct Event {
    bool ended = false;  // a pull of this side; else a request of the other
    PullRequest request;
    RequestId request_id;
    PullEnd end{};
  };

  void OnPullRequest(const PullRequest& request) override { Push({false, request, {}, {}}); }
  void OnPullCancel(NodeId, RequestId) override {}
  void OnPullAnswer(const PullAnswer&) override {}
  void OnPullEnded(RequestId id, PullEnd end) override { Push({true, {}, id, end}); }
  void OnSendEnded(SendId, bool) override {}
  void OnLinkDown(NodeId, absl::string_view) override { Push({true, {}, {}, PullEnd::kFailed}); }
  void OnFrameRefused(NodeId, FrameRefusal) override {}

  Event Next();
  // Next returns an event of nobody.
  void Wake() { Push({}); }

 private:
  void Push(const Event& event);

  std::mutex mutex_;
  std::condition_variable pushed_;
  std::deque<Event> events_;
};

// Answers every request with the segment's bytes until `sink` is woken.
void ServeSegments(const Segments& segments, Transport* transport, QueuedSink* sink);

// Pulls `count` segments, `in_flight` at a time, and mixes each as it lands (`mixes`) or all of
// them at the end, which is not in the time. Seconds. Aborts when a pull fails or a block is not
// good.
double PullSegments(Segments* segments, Transport* transport, QueuedSink* sink, uint64_t count,
                    uint64_t in_flight, bool mixes);

}  // namespace weightmesh::bench
