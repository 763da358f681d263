// MeshService: answers operators, out of a MeshSource; lives on gRPC's threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "daemon/control/mesh_source.h"

namespace grpc {
class Service;
}

namespace weightmesh {

class Watches;

// The service of proto/weightmesh/v1/mesh.proto, by gRPC's callback API. Both must outlive it.
std::unique_ptr<grpc::Service> MakeMeshService(MeshSource* source, Watches* watches);

// NotFound that names `run_id` and the runs that there are.
absl::Status UnknownRun(absl::string_view run_id, const std::vector<RunSnapshot>& known);

}  // namespace weightmesh
