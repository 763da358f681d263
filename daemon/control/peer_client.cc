// PeerClient over gRPC's callback stubs.
#include "daemon/control/peer_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/control/address.h"
#include "daemon/control/channel.h"
#include "daemon/control/convert_peer.h"
#include "daemon/control/lru_cache.h"
#include "daemon/control/message_limits.h"
#include "daemon/control/protocol_version.h"
#include "daemon/core/clean_text.h"
#include "daemon/core/mutex.h"
#include "proto/weightmesh/v1/peer.grpc.pb.h"

namespace weightmesh {
namespace {

using Stub = v1::PeerService::Stub;

// The calls under way: so that they can be cancelled and waited for.
class OpenCalls {
 public:
  explicit OpenCalls(size_t calls_max) : calls_max_(calls_max) {}

  absl::Status Add(grpc::ClientContext* context) {
    MutexLock lock(&mutex_);
    if (closed_) return absl::CancelledError("this daemon is stopping");
    if (unfinished_ >= calls_max_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("already ", calls_max_, " calls to other daemons are under way"));
    }
    contexts_.insert(context);
    ++unfinished_;
    return absl::OkStatus();
  }

  // The context may be destroyed afterwards; the call is not finished yet.
  void Forget(grpc::ClientContext* context) {
    MutexLock lock(&mutex_);
    contexts_.erase(context);
  }

  void Finish() {
    MutexLock lock(&mutex_);
    if (--unfinished_ == 0) all_finished_.notify_all();
  }

  void CancelAndWait() {
    MutexLock lock(&mutex_);
    closed_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    std::unique_lock<std::mutex> held(mutex_.native(), std::adopt_lock);
    while (unfinished_ > 0) all_finished_.wait(held);
    held.release();
  }

 private:
  Mutex mutex_;
  std::condition_variable all_finished_;
  const size_t calls_max_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  size_t unfinished_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

template <typename Request, typename Response>
struct Call {
  std::shared_ptr<Stub> stub;  // keeps the channel open when the cache drops it
  grpc::ClientContext context;
  Request request;
  Response response;
};

template <typename T>
absl::StatusOr<T> Named(absl::string_view address, absl::string_view call,
                        absl::StatusOr<T> result) {
  if (result.ok()) return result;
  return absl::Status(result.status().code(),
                      absl::StrCat(call, " with ", address, ": ", result.status().message()));
}

}  // namespace

class PeerClient::Impl {
 public:
  explicit Impl(const PeerClientOptions& options)
      : calls_(std::make_shared<OpenCalls>(options.calls_max)), stubs_(options.channels_max) {}

  // The last stub, and with it gRPC's own threads, must go here and not on one of them.
  ~Impl() { calls_->CancelAndWait(); }

  // `start(stub, call, callback)` starts the call; `read(response)` -> StatusOr<T>.
  template <typename T, typename Request, typename Response, typename Start, typename Read>
  void Make(absl::string_view name, absl::string_view address, Request request,
            absl::Duration timeout, const Start& start, const Read& read, Done<T> done) {
    if (absl::StatusOr<HostPort> parsed = ParseHostPort(address); !parsed.ok()) {
      return done(Named<T>(address, name, parsed.status()));
    }
    auto call = std::make_unique<Call<Request, Response>>();
    call->request = std::move(request);
    call->context.set_deadline(std::chrono::system_clock::now() +
                               absl::ToChronoMicroseconds(timeout));
    if (absl::Status added = calls_->Add(&call->context); !added.ok()) {
      return done(Named<T>(address, name, added));
    }
    call->stub = StubFor(address);
    Call<Request, Response>* const started = call.release();
    start(started->stub.get(), started,
          [calls = calls_, started, read, name = std::string(name), address = std::string(address),
           done = std::move(done)](const grpc::Status& status) {
            std::unique_ptr<Call<Request, Response>> ended(started);
            absl::StatusOr<T> result =
                status.ok() ? read(ended->response)
                            : absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                                           CleanText(status.error_message(), kReasonBytesMax));
            calls->Forget(&ended->context);
            ended.reset();
            done(Named<T>(address, name, std::move(result)));
            calls->Finish();
          });
  }

  void Forget(absl::string_view address) {
    std::shared_ptr<Stub> closes_unlocked;
    MutexLock lock(&mutex_);
    closes_unlocked = stubs_.Take(address);
  }

 private:
  std::shared_ptr<Stub> StubFor(absl::string_view address) {
    MutexLock lock(&mutex_);
    return stubs_.FindOrMake(address, [address] {
      return std::shared_ptr<Stub>(
          v1::PeerService::NewStub(OpenChannel(address, kControlMessageBytesMax)));
    });
  }

  const std::shared_ptr<OpenCalls> calls_;
  Mutex mutex_;
  LruCache<std::shared_ptr<Stub>> stubs_ ABSL_GUARDED_BY(mutex_);
};

PeerClient::PeerClient(const PeerClientOptions& options) : impl_(std::make_unique<Impl>(options)) {}
PeerClient::~PeerClient() = default;

void PeerClient::Forget(absl::string_view address) { impl_->Forget(address); }

void PeerClient::Sync(absl::string_view address, const SyncMessage& message, absl::Duration timeout,
                      Done<SyncMessage> done) {
  impl_->Make<SyncMessage, v1::SyncMessage, v1::SyncMessage>(
      "Sync", address, ToProto(message), timeout,
      [](Stub* stub, auto* call, auto ended) {
        stub->async()->Sync(&call->context, &call->request, &call->response, std::move(ended));
      },
      [](const v1::SyncMessage& answer) -> absl::StatusOr<SyncMessage> {
        absl::Status version =
            CheckPeerProtocolVersion(answer.protocol_version(), "the daemon that answers");
        if (!version.ok()) return version;
        return FromProto(answer);
      },
      std::move(done));
}

void PeerClient::Probe(absl::string_view address, const NodeInfo& self, absl::Duration timeout,
                       Done<NodeInfo> done) {
  v1::ProbeRequest request;
  request.set_protocol_version(kPeerProtocolVersion);
  *request.mutable_self() = ToProto(self);
  impl_->Make<NodeInfo, v1::ProbeRequest, v1::ProbeReply>(
      "Probe", address, std::move(request), timeout,
      [](Stub* stub, auto* call, auto ended) {
        stub->async()->Probe(&call->context, &call->request, &call->response, std::move(ended));
      },
      [](const v1::ProbeReply& answer) { return FromProto(answer.self()); }, std::move(done));
}

void PeerClient::Gossip(absl::string_view address, const swim::Message& message,
                        absl::Duration timeout, Done<swim::Message> done) {
  impl_->Make<swim::Message, v1::GossipMessage, v1::GossipMessage>(
      "Gossip", address, ToProto(message), timeout,
      [](Stub* stub, auto* call, auto ended) {
        stub->async()->Gossip(&call->context, &call->request, &call->response, std::move(ended));
      },
      [](const v1::GossipMessage& answer) -> absl::StatusOr<swim::Message> {
        const absl::Status version =
            CheckPeerProtocolVersion(answer.protocol_version(), "the daemon that answers");
        if (!version.ok()) return version;
        return FromProto(answer);
      },
      std::move(done));
}

void PeerClient::IndirectProbe(absl::string_view address, const IndirectProbeQuery& query,
                               Done<IndirectProbeResult> done) {
  impl_->Make<IndirectProbeResult, v1::IndirectProbeRequest, v1::IndirectProbeReply>(
      "IndirectProbe", address, ToProto(query), query.timeout,
      [](Stub* stub, auto* call, auto ended) {
        stub->async()->IndirectProbe(&call->context, &call->request, &call->response,
                                     std::move(ended));
      },
      [](const v1::IndirectProbeReply& answer) { return FromProto(answer); }, std::move(done));
}

void PeerClient::Connect(absl::string_view address, const LinkOffer& offer, absl::Duration timeout,
                         Done<LinkOffer> done) {
  impl_->Make<LinkOffer, v1::ConnectRequest, v1::ConnectReply>(
      "Connect", address, ToConnectRequest(offer), timeout,
      [](Stub* stub, auto* call, auto ended) {
        stub->async()->Connect(&call->context, &call->request, &call->response, std::move(ended));
      },
      [](const v1::ConnectReply& answer) { return FromProto(answer); }, std::move(done));
}

void PeerClient::GetSchema(absl::string_view address, const SchemaQuery& query,
                           absl::Duration timeout, Done<SchemaPart> done) {
  impl_->Make<SchemaPart, v1::SchemaRequest, v1::SchemaPart>(
      "GetSchema", address, ToProto(query), timeout,
      [](Stub* stub, auto* call, auto ended) {
        stub->async()->GetSchema(&call->context, &call->request, &call->response, std::move(ended));
      },
      [](const v1::SchemaPart& answer) { return FromProto(answer); }, std::move(done));
}

void PeerClient::GetBlob(absl::string_view address, const NodeInfo& self, const std::string& run_id,
                         absl::Duration timeout, Done<std::string> done) {
  v1::BlobRequest request;
  request.set_protocol_version(kPeerProtocolVersion);
  *request.mutable_self() = ToProto(self);
  request.set_run_id(run_id);
  impl_->Make<std::string, v1::BlobRequest, v1::BlobReply>(
      "GetBlob", address, std::move(request), timeout,
      [](Stub* stub, auto* call, auto ended) {
        stub->async()->GetBlob(&call->context, &call->request, &call->response, std::move(ended));
      },
      [](const v1::BlobReply& answer) { return BlobFromProto(answer); }, std::move(done));
}

}  // namespace weightmesh
