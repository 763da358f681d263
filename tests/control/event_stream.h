// EventStream: one watch as a client sees it; reads when it is told to.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "daemon/control/channel.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"

namespace weightmesh::testing {

constexpr std::chrono::seconds kStreamLimit(60);

template <typename Event>
class EventStream {
 public:
  EventStream() { context_.set_deadline(std::chrono::system_clock::now() + kStreamLimit); }
  ~EventStream() { context_.TryCancel(); }
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  void Begin(std::unique_ptr<grpc::ClientReader<Event>> reader) { reader_ = std::move(reader); }
  grpc::ClientContext* context() { return &context_; }

  // The next event; false when the stream has ended, or at the latest after a minute.
  bool Read() {
    event_.Clear();
    return reader_->Read(&event_);
  }
  const Event& event() const { return event_; }

  // Reads the rest away. How the stream ended.
  grpc::Status Finish() {
    while (Read()) {
    }
    return reader_->Finish();
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Event>> reader_;
  Event event_;
};

class TopologyStream : public EventStream<v1::TopologyEvent> {
 public:
  explicit TopologyStream(v1::MeshService::Stub* stub,
                          const v1::WatchTopologyRequest& request = {}) {
    Begin(stub->WatchTopology(context(), request));
  }
};

class StatsStream : public EventStream<v1::StatsEvent> {
 public:
  explicit StatsStream(v1::MeshService::Stub* stub, const v1::WatchStatsRequest& request = {}) {
    Begin(stub->WatchStats(context(), request));
  }
};

}  // namespace weightmesh::testing
