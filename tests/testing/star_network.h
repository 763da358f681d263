// StarNetwork: network namespaces around a bridge, each with a link of its own speed.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace weightmesh {

// Namespaces <name>0, <name>1, … with addresses 10.78.0.1, 10.78.0.2, …; the bridge is in
// <name>hub, at 10.78.0.254. A link lets `mbit[k]` through in each direction (tbf). Needs root and
// iproute2. All of it goes with the object; what a killed process left over goes when the next one
// is made.
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
  std::string hub() const;
  static std::string IpOf(int k);
  // Of link k, from now on.
  bool SetSpeed(int k, int mbit) const;

  // What `measure` returns, called in a child process: it may move into a namespace, while this one
  // stays outside to delete them. Not 0 when the child dies.
  int RunInChild(const std::function<int()>& measure) const;

 private:
  const std::string name_;
  const int size_;
  bool made_ = false;
};

// Moves this process into a namespace, with a /sys that shows its devices, as `ip netns exec` does.
// Ends it with a message when that fails.
void EnterNamespace(const std::string& name);

}  // namespace weightmesh
