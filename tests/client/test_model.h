// TestModel: tensors with seeded values and their flattened copy, for the client's tests.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/segment_passes.h"
#include "proto/control_page.h"

namespace weightmesh::client {

// Values in [-1, 1) by seed.
inline std::vector<float> SeededValues(uint64_t count, uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(static_cast<int64_t>(bits() >> 40) - (1 << 23)) / (1 << 23);
  }
  return values;
}

struct TestModel {
  TestModel(std::vector<uint64_t> sizes, uint64_t seed) : tensor_parameters(std::move(sizes)) {
    for (const uint64_t size : tensor_parameters) {
      tensors.push_back(SeededValues(size, seed++));
      names.push_back("tensor" + std::to_string(names.size()));
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      described.push_back({names[i].c_str(), &tensor_parameters[i], 1});
    }
  }

  // Pointers to the tensors as they are now.
  std::vector<float*> Pointers() {
    std::vector<float*> pointers;
    for (std::vector<float>& tensor : tensors) pointers.push_back(tensor.data());
    return pointers;
  }

  std::vector<float> Flat() const {
    std::vector<float> flat;
    for (const std::vector<float>& tensor : tensors) {
      flat.insert(flat.end(), tensor.begin(), tensor.end());
    }
    return flat;
  }

  uint64_t Parameters() const {
    uint64_t parameters = 0;
    for (const uint64_t size : tensor_parameters) parameters += size;
    return parameters;
  }

  ModelLayout Layout(const std::vector<uint64_t>& bounds, WireFormat wire) const {
    ModelLayout layout;
    layout.wire = wire;
    layout.arena =
        MakeArenaLayout(bounds, wire, 3, control_page::ControlPageBytes(bounds.size() - 1));
    layout.pieces = PieceMap(tensor_parameters, layout.arena, wire);
    return layout;
  }

  std::vector<uint64_t> tensor_parameters;
  std::vector<std::vector<float>> tensors;
  std::vector<std::string> names;
  std::vector<weightmesh_tensor> described;  // of rank 1, for weightmesh_attach
};

}  // namespace weightmesh::client
