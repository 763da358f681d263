// PeerService over gRPC's callback API.
#include "daemon/control/peer_service.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/control/convert_peer.h"
#include "daemon/control/message_limits.h"
#include "daemon/control/protocol_version.h"
#include "daemon/control/unary_reply.h"
#include "daemon/core/clean_text.h"
#include "proto/weightmesh/v1/peer.grpc.pb.h"

namespace weightmesh {
namespace {

template <typename Response>
using Reply = std::shared_ptr<UnaryReply<Response>>;

// How a caller is named in a refusal: it may say anything, so only its beginning is repeated.
std::string Describe(const v1::NodeInfo& sender) {
  return absl::StrCat("weightmeshd ", CleanText(sender.version(), kVersionBytesMax), " at ",
                      CleanText(sender.control_address(), kControlAddressBytesMax));
}

// Before anything else of the message is looked at: another version may mean other fields.
template <typename Request>
absl::Status CheckVersion(const Request& request) {
  return CheckPeerProtocolVersion(request.protocol_version(), Describe(request.self()));
}

class PeerServiceImpl final : public v1::PeerService::CallbackService {
 public:
  explicit PeerServiceImpl(PeerHandler* handler) : handler_(handler) {}

  grpc::ServerUnaryReactor* Sync(grpc::CallbackServerContext*, const v1::SyncMessage* request,
                                 v1::SyncMessage* response) override {
    const auto reply = std::make_shared<UnaryReply<v1::SyncMessage>>(response);
    if (absl::Status version = CheckVersion(*request); !version.ok()) {
      reply->Fail(version);
    } else if (absl::StatusOr<SyncMessage> message = FromProto(*request); !message.ok()) {
      reply->Fail(message.status());
    } else {
      handler_->OnSync(*std::move(message), [reply](absl::StatusOr<SyncMessage> answer) {
        if (!answer.ok()) return reply->Fail(answer.status());
        reply->Send(ToProto(*answer));
      });
    }
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* Probe(grpc::CallbackServerContext*, const v1::ProbeRequest* request,
                                  v1::ProbeReply* response) override {
    const auto reply = std::make_shared<UnaryReply<v1::ProbeReply>>(response);
    if (absl::Status version = CheckVersion(*request); !version.ok()) {
      reply->Fail(version);
    } else if (absl::StatusOr<NodeInfo> peer = FromProto(request->self()); !peer.ok()) {
      reply->Fail(
          absl::InvalidArgumentError(absl::StrCat("ProbeRequest.self: ", peer.status().message())));
    } else {
      handler_->OnProbe(*std::move(peer), [reply](absl::StatusOr<NodeInfo> self) {
        if (!self.ok()) return reply->Fail(self.status());
        v1::ProbeReply answer;
        *answer.mutable_self() = ToProto(*self);
        reply->Send(std::move(answer));
      });
    }
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* Gossip(grpc::CallbackServerContext*, const v1::GossipMessage* request,
                                   v1::GossipMessage* response) override {
    const auto reply = std::make_shared<UnaryReply<v1::GossipMessage>>(response);
    if (absl::Status version = CheckVersion(*request); !version.ok()) {
      reply->Fail(version);
    } else if (absl::StatusOr<swim::Message> message = FromProto(*request); !message.ok()) {
      reply->Fail(message.status());
    } else {
      handler_->OnGossip(*std::move(message), [reply](absl::StatusOr<swim::Message> answer) {
        if (!answer.ok()) return reply->Fail(answer.status());
        reply->Send(ToProto(*answer));
      });
    }
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* IndirectProbe(grpc::CallbackServerContext*,
                                          const v1::IndirectProbeRequest* request,
                                          v1::IndirectProbeReply* response) override {
    const auto reply = std::make_shared<UnaryReply<v1::IndirectProbeReply>>(response);
    if (absl::Status version = CheckVersion(request->message()); !version.ok()) {
      reply->Fail(version);
    } else if (absl::StatusOr<IndirectProbeQuery> query = FromProto(*request); !query.ok()) {
      reply->Fail(query.status());
    } else {
      handler_->OnIndirectProbe(*std::move(query),
                                [reply](absl::StatusOr<IndirectProbeResult> result) {
                                  if (!result.ok()) return reply->Fail(result.status());
                                  reply->Send(ToProto(*result));
                                });
    }
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* Connect(grpc::CallbackServerContext*, const v1::ConnectRequest* request,
                                    v1::ConnectReply* response) override {
    const auto reply = std::make_shared<UnaryReply<v1::ConnectReply>>(response);
    if (absl::Status version = CheckVersion(*request); !version.ok()) {
      reply->Fail(version);
    } else if (absl::StatusOr<LinkOffer> offer = FromProto(*request); !offer.ok()) {
      reply->Fail(offer.status());
    } else {
      handler_->OnConnect(*std::move(offer), [reply](absl::StatusOr<LinkOffer> answer) {
        if (!answer.ok()) return reply->Fail(answer.status());
        reply->Send(ToConnectReply(*answer));
      });
    }
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* GetSchema(grpc::CallbackServerContext*,
                                      const v1::SchemaRequest* request,
                                      v1::SchemaPart* response) override {
    const auto reply = std::make_shared<UnaryReply<v1::SchemaPart>>(response);
    if (absl::Status version = CheckVersion(*request); !version.ok()) {
      reply->Fail(version);
    } else if (absl::StatusOr<SchemaQuery> query = FromProto(*request); !query.ok()) {
      reply->Fail(query.status());
    } else {
      handler_->OnGetSchema(*std::move(query), [reply](absl::StatusOr<SchemaPart> part) {
        if (!part.ok()) return reply->Fail(part.status());
        reply->Send(ToProto(*part));
      });
    }
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* GetBlob(grpc::CallbackServerContext*, const v1::BlobRequest* request,
                                    v1::BlobReply* response) override {
    const auto reply = std::make_shared<UnaryReply<v1::BlobReply>>(response);
    if (absl::Status version = CheckVersion(*request); !version.ok()) {
      reply->Fail(version);
    } else if (absl::StatusOr<std::string> run_id = RunIdFromProto(*request); !run_id.ok()) {
      reply->Fail(run_id.status());
    } else {
      handler_->OnGetBlob(*std::move(run_id), [reply](absl::StatusOr<std::string> blob) {
        if (!blob.ok()) return reply->Fail(blob.status());
        v1::BlobReply answer;
        answer.set_blob(*std::move(blob));
        reply->Send(std::move(answer));
      });
    }
    return reply->reactor();
  }

 private:
  PeerHandler* const handler_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakePeerService(PeerHandler* handler) {
  return std::make_unique<PeerServiceImpl>(handler);
}

}  // namespace weightmesh
