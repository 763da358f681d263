// Trainers: the attached trainers of a node, from the socket to the arena. Executor's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cuda/device.h"
#include "daemon/core/actions.h"
#include "daemon/core/events.h"
#include "daemon/core/node_core.h"
#include "daemon/mem/arena_budget.h"
#include "daemon/mem/schema.h"
#include "daemon/runtime/attach_server.h"
#include "daemon/runtime/data_plane.h"
#include "daemon/runtime/executor.h"
#include "daemon/runtime/schema_fetch.h"
#include "daemon/runtime/trainer_port.h"

namespace weightmesh {

class Trainers final : public AttachHandler, public SlotKeeper {
 public:
  // What the trainers of a run at other daemons have given; `done` is called once.
  using AskBlob = std::function<void(const std::string& run_id, std::function<void(std::string)>)>;

  // Pointers must outlive this. `feed` takes events for the core; `ask_schema` and `ask_blob` ask
  // other daemons.
  Trainers(AttachServerOptions options, SchemaLimits limits, ArenaLimit arena_limit, Device* device,
           Executor* executor, DataPlane* data_plane, std::function<void(const Event&)> feed,
           AskSchema ask_schema, AskBlob ask_blob);
  ~Trainers() override;

  // Begins to listen; errors as AttachServer::Start.
  absl::Status Start();
  // Closes all sockets: every trainer is alone from then on.
  void Stop();

  // The core's actions of these names.
  void Run(const AdmitReplica& action);
  void Run(const RefuseAttach& action);
  void Run(const ReportProgress& action);
  void Run(const StartReplica& action);
  void Run(const UpdatePage& action);
  void Run(const Deliver& action);
  void Run(const FinishLeave& action);
  void Run(const FreeArena& action);

  // Memory of an admitted replica.
  const Arena& arena(AttachId attach) const { return ports_.at(attach)->arena(); }
  // What its trainer has reported; empty once its arena is freed.
  std::vector<std::pair<std::string, double>> Scalars(AttachId attach) const;

  // A part of the schema of that digest. NotFound: no attached trainer has it.
  absl::StatusOr<SchemaPart> SchemaPartFor(const SchemaQuery& query) const;

  // What an attached trainer of the run has given for who joins. NotFound: none has.
  absl::StatusOr<std::string> BlobFor(const std::string& run_id) const;

  // AttachHandler.
  void OnAttach(AttachId id, attach::AttachRequest request) override;
  void OnBlob(AttachId id, std::string blob) override;
  void OnBlobRequest(AttachId id) override;
  void OnLeave(AttachId id) override;
  void OnClosed(AttachId id, absl::string_view reason) override;
  void OnRefused(absl::string_view reason) override;

  // SlotKeeper.
  bool Hold(AttachId attach, SlotId slot, Round round) override;
  void Release(AttachId attach, SlotId slot, Round round) override;

 private:
  void Refuse(AttachId id, attach::ReplyCode code, std::string message);
  absl::Status MakePort(AttachId id, const ArenaSpec& spec);
  // For a refused attach: the first tensor that differs from another trainer's of the run, as
  // "; tensor 3 is …"; empty when there is none here to compare with.
  std::string SchemaDifference(AttachId id) const;
  void RefuseAfterComparing(RefuseAttach action);
  void OnDoorbell(AttachId id);
  void DropPort(AttachId id);

  const SchemaLimits limits_;
  Device* const device_;
  Executor* const executor_;
  DataPlane* const data_plane_;
  const std::function<void(const Event&)> feed_;
  const AskSchema ask_schema_;
  const AskBlob ask_blob_;
  ArenaBudget budget_;
  std::unique_ptr<AttachServer> server_;
  struct Model {
    std::string run_id;
    Schema schema;
    std::string blob;  // for who joins
  };
  std::map<AttachId, Model> models_;        // of all attached
  std::map<AttachId, ReplicaId> admitted_;  // and not started yet
  std::set<AttachId> comparing_;            // to be refused once another daemon's schema is here
  std::map<AttachId, std::unique_ptr<TrainerPort>> ports_;
  // Last numbers of replicas whose arena is gone.
  std::map<AttachId, std::vector<std::pair<std::string, double>>> last_scalars_;
};

}  // namespace weightmesh
