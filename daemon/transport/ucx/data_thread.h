// UcxDataThread: the thread that owns a UCX worker, and with it all links, pulls and sends.
//
// It sleeps in epoll when nothing moves, is woken at most once per sleep however much is posted,
// and makes every call of the sink. UCX's callbacks run on it, within its calls of progress.
#pragma once

#include <ucp/api/ucp.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/core/mutex.h"
#include "daemon/transport/memory_ranges.h"
#include "daemon/transport/transport.h"
#include "daemon/transport/ucx/command_queue.h"
#include "daemon/transport/ucx/endpoint.h"
#include "daemon/transport/ucx/path_report.h"
#include "daemon/transport/ucx/slot_pool.h"
#include "daemon/transport/ucx/token_table.h"
#include "daemon/transport/ucx/ucx_transport.h"
#include "daemon/transport/ucx/ucx_worker.h"
#include "proto/wire.h"

namespace weightmesh {

class UcxDataThread {
 public:
  UcxDataThread(std::unique_ptr<UcxWorker> worker, const UcxOptions& options);
  // REQUIRES: never started, or joined.
  ~UcxDataThread();

  // `sink` must outlive Join().
  void Start(TransportSink* sink);
  // Ends everything and waits for it.
  void Join();

  // From the core's thread.
  void Post(Command command);
  TokenTable& tokens() { return tokens_; }
  const UcxWorker& worker() const { return *worker_; }

  // Any thread.
  std::vector<PathReport> Paths() const;
  uint64_t frames_refused() const { return frames_refused_.load(std::memory_order_relaxed); }
  uint64_t answers_unasked() const { return answers_unasked_.load(std::memory_order_relaxed); }
  size_t endpoints_open() const { return endpoints_open_.load(std::memory_order_relaxed); }

 private:
  struct Registration {
    ucp_mem_h handle;
    MemoryKind kind;
  };
  struct Link {
    PeerLink peer;
    uint64_t serial = 0;              // see ConnectCommand
    UcxEndpoint* endpoint = nullptr;  // null until its first use, and after a break
    bool draining = false;            // Disconnect without force: forgotten once nothing is open
  };
  struct PullSlot {
    UcxDataThread* owner;
    PullRequest request;
    UcxEndpoint* endpoint;  // the request left by it
    absl::Span<std::byte> landing;
    Registration memory;
    bool receiving;  // UCX writes to the landing memory, until OnReceived
    uint32_t waits;  // answers so far that told it to wait
  };
  struct SendSlot {
    UcxDataThread* owner;
    SendId id;
    UcxEndpoint* endpoint;
    wire::PullAnswerFrame frame;  // UCX may read it until OnSent
    bool open = false;
  };
  struct FrameSlot {
    UcxDataThread* owner;
    NodeId peer;
    std::array<std::byte, sizeof(wire::PullRequestFrame)> bytes;
  };
  // What UCX passes to OnFrame for one type of frame.
  struct FrameHandler {
    UcxDataThread* owner;
    wire::FrameType type;
  };
  // One received active message.
  struct Received {
    const void* header;
    size_t header_bytes;
    void* data;  // rendezvous: UCX's descriptor
    size_t data_bytes;
    bool rendezvous;
    ucp_ep_h connection;  // null unless the sender asked for it to be told
  };

  // data_thread.cc: the loop and the commands.
  void Run();
  bool HandleCommands();
  void SetHandlers();
  void CloseDown();
  void On(const ConnectCommand& command);
  void On(const DisconnectCommand& command);
  void On(const PullCommand& command);
  void On(const CancelCommand& command);
  void On(const AnswerCommand& command);
  void On(const SendCommand& command);
  void On(const RegisterCommand& command);
  void On(const UnregisterCommand& command);
  void On(const StopCommand& command);

  // links.cc: links and their endpoints.
  Link* FindLink(NodeId node);
  // The link's endpoint, opened if need be. ResourceExhausted when this daemon has no room for it;
  // on any other error the link is reported as down.
  absl::StatusOr<UcxEndpoint*> EndpointOf(Link* link);
  absl::StatusOr<UcxEndpoint*> OpenPaired(const Link& link, ucp_ep_h newest);
  void MakeRoom(UcxEndpoint* idle);
  bool CareForEndpoints();
  void OnEndpointFailed(UcxEndpoint* endpoint);
  void OnEndpointGone(const UcxEndpoint& endpoint);
  void CutOff(Link* link);
  void ForgetDrained();
  void ReportPath(const Link& link, std::string reason);
  void ForgetPath(NodeId node);

  // frames.cc: frames, pulls and sends.
  // kNoRoom: frames_max are on their way. kFailed: the endpoint failed.
  enum class FrameOut { kLeft, kNoRoom, kFailed };
  FrameOut SendFrameBytes(UcxEndpoint* endpoint, wire::FrameType type, const void* bytes,
                          size_t size, uint32_t flags = UCP_AM_SEND_FLAG_EAGER);
  void SendRequest(const Link& link, PullSlot* pull);
  void SendCancel(const PullSlot& pull);
  void SendAnswer(const Link& link, UcxEndpoint* endpoint, const PullAnswer& answer);
  void SendIdleClose(const Link& link);
  void SendData(const Link& link, SendSlot* send, const SendCommand& command,
                const Registration& memory);
  static void Fail(UcxEndpoint* endpoint, ucs_status_t status);

  static ucs_status_t OnFrame(void* handler, const void* header, size_t header_bytes, void* data,
                              size_t data_bytes, const ucp_am_recv_param_t* param);
  ucs_status_t Refuse(const Received& received, NodeId peer, FrameRefusal reason);
  ucs_status_t Decline(const Received& received);
  // A checked frame of `peer`.
  ucs_status_t Take(NodeId peer, const wire::PullRequestFrame& frame, const Received& received);
  ucs_status_t Take(NodeId peer, const wire::PullAnswerFrame& frame, const Received& received);
  ucs_status_t Take(NodeId peer, const wire::PullCancelFrame& frame, const Received& received);
  ucs_status_t Take(NodeId peer, const wire::IdleCloseFrame& frame, const Received& received);
  ucs_status_t Receive(PullSlot* pull, const PullAnswer& answer, const Received& received);

  void ReleaseFrame(FrameSlot* slot);
  static void OnFrameSent(void* request, ucs_status_t status, void* slot);
  static void OnSent(void* request, ucs_status_t status, void* slot);
  static void OnReceived(void* request, ucs_status_t status, size_t bytes, void* slot);
  void EndPull(PullSlot* pull, PullEnd end);
  void EndSend(SendSlot* send, bool sent);
  // Ends the pulls over `endpoint` whose data has not begun; UCX knows nothing of them.
  void EndAskedPulls(const UcxEndpoint* endpoint);

  const UcxOptions options_;
  TokenTable tokens_;
  CommandQueue commands_;
  const std::unique_ptr<UcxWorker> worker_;
  TransportSink* sink_ = nullptr;
  std::atomic<uint64_t> frames_refused_{0};
  std::atomic<uint64_t> answers_unasked_{0};
  std::atomic<size_t> endpoints_open_{0};
  PathFacts path_facts_;

  // Owned by the data thread.
  std::vector<Command> batch_;
  MemoryRanges<Registration> memory_;
  absl::flat_hash_map<NodeId, Link> links_;
  // The connection by which each peer's newest request came. To be compared only: it is UCX's, and
  // may be gone.
  absl::flat_hash_map<NodeId, ucp_ep_h> newest_connections_;
  UcxEndpoints endpoints_;
  SlotPool<PullSlot> pulls_;
  SlotPool<SendSlot> sends_;
  SlotPool<FrameSlot> frames_;
  size_t frames_open_ = 0;                         // on their way
  absl::flat_hash_map<NodeId, size_t> frames_to_;  // the same by peer; none where it is 0
  absl::flat_hash_map<RequestId, PullSlot*> pulls_by_id_;
  std::array<FrameHandler, 5> handlers_;  // by FrameType; 0 for what is none
  bool stopping_ = false;
  size_t draining_ = 0;  // links that are

  mutable Mutex paths_mutex_;
  std::map<NodeId, PathReport> paths_ ABSL_GUARDED_BY(paths_mutex_);
  std::thread thread_;
};

}  // namespace weightmesh
