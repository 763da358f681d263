// Transport: moves segments between daemons; the seam between the core and the network.
//
// Every method may be called from one thread only (the core's); a sink's methods are called from
// the transport's own thread, except where an implementation says otherwise. Nothing blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/core/ids.h"
#include "daemon/core/pull.h"

namespace weightmesh {

// Another daemon's process, as the data plane reaches it.
struct PeerLink {
  NodeId node;
  std::string address;         // what that daemon's Transport::address() returned
  uint64_t send_token = 0;     // put on every frame to it; drawn by it
  uint64_t receive_token = 0;  // demanded on every frame from it; drawn here, unique per link
};

// Over which path a link runs, for people.
struct PathReport {
  NodeId peer;
  std::string transport;  // "tcp", "rc_mlx5", "loopback", …
  std::string device;     // "eth0", "mlx5_0:1", …
  std::string reason;     // why it is not a faster one; empty if it is the fastest there is
};

enum class MemoryKind { kHost, kCuda };

// Answers that are heard to one request; a source has three: WAITING, QUEUED, and the last.
constexpr uint32_t kAnswersPerPullMax = 8;

// Receives what happens on the links. Methods must not block or call back into the transport.
class TransportSink {
 public:
  virtual ~TransportSink() = default;
  virtual void OnPullRequest(const PullRequest& request) = 0;
  virtual void OnPullCancel(NodeId peer, RequestId request_id) = 0;
  // At most kAnswersPerPullMax for a pull, in the order sent, each fitting its request
  // (core/pull.h). kData means that the transfer has begun.
  virtual void OnPullAnswer(const PullAnswer& answer) = 0;
  // Exactly one for each Pull, after its answers.
  virtual void OnPullEnded(RequestId request_id, PullEnd end) = 0;
  // Exactly one for each Send. `sent`: the reader has all bytes; false: the link broke or the
  // reader declined. The memory is not read afterwards.
  virtual void OnSendEnded(SendId send_id, bool sent) = 0;
  // The link broke; it stays known, and the next Pull, Answer or Send tries to open it again.
  virtual void OnLinkDown(NodeId peer, absl::string_view reason) = 0;
  // One for each frame that was refused. `peer` is zero when nobody knows who sent it.
  virtual void OnFrameRefused(NodeId peer, FrameRefusal reason) = 0;
  // What is called between these two comes in quick succession: whom the sink wakes for it, it need
  // not wake before the end. Never nested; not every transport tells, nor does one at all times.
  virtual void OnBatchBegan() {}
  virtual void OnBatchEnded() {}
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Starts to serve. `sink` must outlive Stop(). Called once, before all others.
  virtual absl::Status Start(TransportSink* sink) = 0;

  // Opaque bytes by which peers' transports of the same kind reach this one. Valid after Start.
  virtual std::string address() const = 0;

  // InvalidArgument when `address` cannot be that of a transport of this kind, or is damaged.
  virtual absl::Status CheckAddress(absl::string_view address) const = 0;

  virtual bool Supports(MemoryKind kind) const = 0;

  // Tells the transport of memory that it will send from and receive into (an arena), until
  // Unregister. InvalidArgument or ResourceExhausted when the device refuses it.
  virtual absl::Status Register(absl::Span<std::byte> memory, MemoryKind kind) = 0;
  // REQUIRES: no Pull or Send on that memory is open.
  virtual void Unregister(absl::Span<std::byte> memory) = 0;

  // Makes `link.node` reachable, or replaces what is known of it (a restarted daemon): open pulls
  // and sends of the former end as failed.
  virtual void Connect(const PeerLink& link) = 0;

  // Closes the link and forgets it. With `force`, transfers under way are cut off and end as
  // failed; otherwise they end first. OnLinkDown is not called.
  virtual void Disconnect(NodeId node, bool force) = 0;

  // Asks request.peer; data lands in `landing`, which must lie in registered memory and be exactly
  // as long as the source's segment. A peer that is not connected ends the pull as failed. One that
  // is beyond a limit of this transport (pulls, frames or endpoints at a time) ends at once as
  // kNoRoom: the peer has heard nothing, the link is as it was, and a later try may succeed.
  virtual void Pull(const PullRequest& request, absl::Span<std::byte> landing) = 0;

  // Ends a pull: data that has not begun will never land, and the peer is told. Data under way may
  // still land; OnPullEnded says when it is over.
  virtual void Cancel(RequestId request_id) = 0;

  // Answers a request without data.
  virtual void Answer(const PullAnswer& answer) = 0;

  // Answers a request with `data`, which must lie in registered memory and stay as it is until
  // OnSendEnded.
  virtual void Send(const PullAnswer& answer, absl::Span<const std::byte> data, SendId send_id) = 0;

  // One row for each connected peer. May be called from any thread.
  virtual std::vector<PathReport> Paths() const = 0;

  // How often OnFrameRefused was called. Any thread.
  virtual uint64_t frames_refused() const = 0;

  // Answers, with or without data, that came when nobody waited for them (any more): they are
  // declined and touch nothing. Any thread.
  virtual uint64_t answers_unasked() const = 0;

  // Ends everything; open pulls and sends end as failed before it returns. Called once.
  virtual void Stop() = 0;
};

}  // namespace weightmesh
