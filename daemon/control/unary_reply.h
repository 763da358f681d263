// UnaryReply: finishes one unary call of a callback service exactly once; any thread.
//
// Includes gRPC: for the .cc files of services only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/core/mutex.h"

namespace weightmesh {

// absl's and gRPC's codes are one set of numbers.
inline grpc::Status ToGrpcStatus(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// The call ends by the first of: Send, Fail, the caller's cancellation or deadline (what comes
// later is dropped), and the destruction of the last shared_ptr (UNAVAILABLE: the daemon threw the
// question away because it stops). So a server can always shut down.
template <typename Response>
class UnaryReply {
 public:
  // `response` belongs to gRPC and lives until the call ends. The caller returns reactor() to gRPC
  // before it can lose its last shared_ptr.
  explicit UnaryReply(Response* response)
      : call_(std::make_shared<Call>(response)), reactor_(new Reactor(call_)) {
    MutexLock lock(&call_->mutex);
    call_->reactor = reactor_;
  }
  ~UnaryReply() { Fail(absl::UnavailableError("the daemon is stopping; ask again later")); }
  UnaryReply(const UnaryReply&) = delete;
  UnaryReply& operator=(const UnaryReply&) = delete;

  // Not to be dereferenced: only to be returned to gRPC.
  grpc::ServerUnaryReactor* reactor() const { return reactor_; }

  void Send(Response response) { call_->End(absl::OkStatus(), &response); }
  void Fail(const absl::Status& status) { call_->End(status, nullptr); }

 private:
  class Reactor;

  struct Call {
    explicit Call(Response* response) : response(response) {}

    void End(const absl::Status& status, Response* answer) {
      Reactor* ended;
      {
        MutexLock lock(&mutex);
        ended = std::exchange(reactor, nullptr);
        if (ended == nullptr) return;
        if (answer != nullptr) *response = std::move(*answer);
      }
      ended->Finish(ToGrpcStatus(status));
    }

    Mutex mutex;
    Response* const response;
    Reactor* reactor ABSL_GUARDED_BY(mutex) = nullptr;  // null once the call has ended
  };

  class Reactor final : public grpc::ServerUnaryReactor {
   public:
    explicit Reactor(std::shared_ptr<Call> call) : call_(std::move(call)) {}
    void OnCancel() override {
      call_->End(absl::CancelledError("the caller cancelled or its deadline passed"), nullptr);
    }
    void OnDone() override { delete this; }

   private:
    std::shared_ptr<Call> call_;
  };

  std::shared_ptr<Call> call_;
  Reactor* const reactor_;
};

}  // namespace weightmesh
