// StarNetwork: network namespaces around a bridge, each with a link of its own speed.
#pragma once

#include <string>
#include <vector>

namespace weightmesh::bench {

// Namespaces <name>0, <name>1, … with addresses 10.78.0.1, 10.78.0.2, …; the bridge is in
// <name>hub, at 10.78.0.254. A link lets `mbit[k]` through in each direction (tbf). Needs root and
// iproute2; all of it goes with the object, wherever it is destroyed: in the process that made it.
class StarNetwork {
 public:
  explicit StarNetwork(const std::vector<int>& mbit);
  ~StarNetwork();
  StarNetwork(const StarNetwork&) = delete;
  StarNetwork& operator=(const StarNetwork&) = delete;

  // Whether it could be made.
  bool made() const { return made_; }
  int size() const { return size_; }
  std::string NamespaceOf(int k) const;
  static std::string IpOf(int k);
  // Moves this process into the bridge's namespace, from where every node can be reached.
  void EnterHub() const;
  // Of link k, from now on.
  bool SetSpeed(int k, int mbit) const;

 private:
  const std::string name_;
  const int size_;
  bool made_ = false;
};

}  // namespace weightmesh::bench
