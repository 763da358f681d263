// The attach protocol: what a trainer and its daemon say over the daemon's Unix stream socket.
//
//   trainer -> daemon   kAttachRequest
//   daemon  -> trainer  kAttachProgress *      while the run waits for its founders
//   daemon  -> trainer  kAttachReply           with three descriptors when its code is kOk
//   trainer -> daemon   kBlob *                what replicas that join are to be given
//   trainer -> daemon   kBlobRequest *         while it joins: what the others have given
//   daemon  -> trainer  kBlobReply *           one for each
//   trainer -> daemon   kLeave                 ends the replica in order
//   daemon  -> trainer  kLeaveReply
// Either side closing the socket ends the attachment; a trainer's death is seen as that.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/arena_layout.h"
#include "proto/byte_codec.h"

namespace weightmesh::attach {

constexpr uint32_t kMagic = 0x31414d57;  // "WMA1"
constexpr uint16_t kVersion = 3;
constexpr uint32_t kPayloadBytesMax = 32u << 20;
constexpr uint32_t kBlobBytesMax = 64u << 10;

// The payload of kAttachProgress is text for people, without a length; that of kBlob and kBlobReply
// the trainer's bytes, at most kBlobBytesMax (a reply has none where nobody gave any);
// kBlobRequest, kLeave and kLeaveReply have none.
enum class MessageType : uint16_t {
  kAttachRequest = 1,
  kAttachProgress = 2,
  kAttachReply = 3,
  kLeave = 4,
  kLeaveReply = 5,
  kBlob = 6,
  kBlobRequest = 7,
  kBlobReply = 8,
};

struct MessageHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t type;           // MessageType
  uint32_t payload_bytes;  // <= kPayloadBytesMax
  uint32_t reserved;       // 0
};
static_assert(sizeof(MessageHeader) == 16);

// The descriptors sent with a good kAttachReply, in this order.
constexpr int kArenaDescriptor = 0;            // memfd, sealed against resizing
constexpr int kDaemonDoorbellDescriptor = 1;   // eventfd: the trainer rings
constexpr int kTrainerDoorbellDescriptor = 2;  // eventfd: the daemon rings
constexpr int kDescriptorCount = 3;

// Values of RunConfig on this socket; equal to those of proto/weightmesh/v1/run_config.proto.
enum class Mode : uint32_t { kLockstep = 1, kOverlap = 2, kAsync = 3 };
enum class ScheduleKind : uint32_t { kHashCycle = 1, kDerangement = 2, kExponential = 3 };

enum class DataType : uint32_t { kFp32 = 1 };

struct Tensor {
  std::string name;  // not empty, unique in the model
  DataType data_type = DataType::kFp32;
  std::vector<uint64_t> shape;  // row-major; empty: a scalar
};

struct AttachRequest {
  std::string client_version;
  std::string run_id;
  std::string replica_name;
  // RunConfig (design.md section 2).
  uint64_t seed = 0;
  ScheduleKind schedule = ScheduleKind::kHashCycle;
  Mode mode = Mode::kLockstep;
  WireFormat wire = WireFormat::kFp32;
  double alpha = 0.5;
  uint64_t round_deadline_ms = 5000;
  uint32_t replicas_min = 1;
  uint32_t staleness_rounds_max = 0;  // kAsync: at least 1; otherwise 0
  // The founding record.
  std::vector<Tensor> tensors;
  std::vector<uint64_t> segment_bounds;  // in parameters: 0, …, all of them; strictly ascending
  uint64_t weights_digest_high = 0;      // XXH3-128 of the flattened initial weights
  uint64_t weights_digest_low = 0;
  uint32_t allow_different_init = 0;  // 1: initial weights are not compared
  uint64_t start_round = 0;           // the first round is start_round + 1
  // This replica's own.
  uint64_t start_timeout_ms = 600000;
  uint32_t slots = 3;
  uint32_t joins = 0;  // 1: joins a run that has started; its own weights are not looked at
};

// Codes of AttachReply: what the trainer should do.
enum class ReplyCode : uint32_t {
  kOk = 0,
  kInvalid = 1,       // the request is wrong: mend it
  kMismatch = 2,      // it differs from the run: RunConfig, schema or initial weights
  kNameInUse = 3,     // a live replica has that name
  kTooLate = 4,       // the run has started without this replica
  kLimit = 5,         // a limit of the daemon: replicas, segments, bytes
  kStartTimeout = 6,  // the founders did not all come in time
  kVersion = 7,       // the protocol versions differ
  kUnavailable = 8,   // the daemon is stopping
  kNoRun = 9,         // a join: the run is not known there, or nobody of it is left
};

struct AttachReply {
  ReplyCode code = ReplyCode::kOk;
  std::string message;  // for people: names the thing and the cure; empty when kOk
  // When kOk:
  uint64_t replica_high = 0;  // replica_id
  uint64_t replica_low = 0;
  uint64_t control_bytes = 0;  // the unrounded size that MakeArenaLayout takes
  uint64_t arena_bytes = 0;    // to check the client's own layout against
};

std::string Encode(const AttachRequest& request);
std::string Encode(const AttachReply& reply);
// False when `payload` is not exactly one message of the kind, or a value is outside its enum.
bool Decode(std::string_view payload, AttachRequest* request);
bool Decode(std::string_view payload, AttachReply* reply);

inline std::string Encode(const AttachRequest& request) {
  ByteWriter out;
  out.Text(request.client_version);
  out.Text(request.run_id);
  out.Text(request.replica_name);
  out.U64(request.seed);
  out.U32(static_cast<uint32_t>(request.schedule));
  out.U32(static_cast<uint32_t>(request.mode));
  out.U32(static_cast<uint32_t>(request.wire));
  out.F64(request.alpha);
  out.U64(request.round_deadline_ms);
  out.U32(request.replicas_min);
  out.U32(request.staleness_rounds_max);
  out.U64(request.tensors.size());
  for (const Tensor& tensor : request.tensors) {
    out.Text(tensor.name);
    out.U32(static_cast<uint32_t>(tensor.data_type));
    out.U64(tensor.shape.size());
    for (uint64_t extent : tensor.shape) out.U64(extent);
  }
  out.U64(request.segment_bounds.size());
  for (uint64_t bound : request.segment_bounds) out.U64(bound);
  out.U64(request.weights_digest_high);
  out.U64(request.weights_digest_low);
  out.U32(request.allow_different_init);
  out.U64(request.start_round);
  out.U64(request.start_timeout_ms);
  out.U32(request.slots);
  out.U32(request.joins);
  return out.Take();
}

inline bool Decode(std::string_view payload, AttachRequest* request) {
  ByteReader in(payload);
  request->client_version = in.Text();
  request->run_id = in.Text();
  request->replica_name = in.Text();
  request->seed = in.U64();
  request->schedule = static_cast<ScheduleKind>(in.U32());
  request->mode = static_cast<Mode>(in.U32());
  request->wire = static_cast<WireFormat>(in.U32());
  request->alpha = in.F64();
  request->round_deadline_ms = in.U64();
  request->replicas_min = in.U32();
  request->staleness_rounds_max = in.U32();
  request->tensors.resize(in.Count(16));
  for (Tensor& tensor : request->tensors) {
    tensor.name = in.Text();
    tensor.data_type = static_cast<DataType>(in.U32());
    tensor.shape.resize(in.Count(8));
    for (uint64_t& extent : tensor.shape) extent = in.U64();
    if (tensor.data_type != DataType::kFp32) return false;
  }
  request->segment_bounds.resize(in.Count(8));
  for (uint64_t& bound : request->segment_bounds) bound = in.U64();
  request->weights_digest_high = in.U64();
  request->weights_digest_low = in.U64();
  request->allow_different_init = in.U32();
  request->start_round = in.U64();
  request->start_timeout_ms = in.U64();
  request->slots = in.U32();
  request->joins = in.U32();
  const auto within = [](auto value, auto last) {
    return static_cast<uint32_t>(value) >= 1 &&
           static_cast<uint32_t>(value) <= static_cast<uint32_t>(last);
  };
  return in.AtEnd() && request->joins <= 1 &&
         within(request->schedule, ScheduleKind::kExponential) &&
         within(request->mode, Mode::kAsync) && within(request->wire, WireFormat::kBf16);
}

inline std::string Encode(const AttachReply& reply) {
  ByteWriter out;
  out.U32(static_cast<uint32_t>(reply.code));
  out.Text(reply.message);
  out.U64(reply.replica_high);
  out.U64(reply.replica_low);
  out.U64(reply.control_bytes);
  out.U64(reply.arena_bytes);
  return out.Take();
}

inline bool Decode(std::string_view payload, AttachReply* reply) {
  ByteReader in(payload);
  const uint32_t code = in.U32();
  reply->code = static_cast<ReplyCode>(code);
  reply->message = in.Text();
  reply->replica_high = in.U64();
  reply->replica_low = in.U64();
  reply->control_bytes = in.U64();
  reply->arena_bytes = in.U64();
  return in.AtEnd() && code <= static_cast<uint32_t>(ReplyCode::kNoRun);
}

}  // namespace weightmesh::attach
