// StarNetwork: network namespaces around a bridge, each with a link of its own speed.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace weightmesh {

// Namespaces <name>0, <name>1, … with addresses 10.78.0.1, 10.78.0.2, …; the bridge is in
// <name>hub, at 10.78.0.254. A link lets `mbit[k]` through in each direction (tbf; 0: all). Needs
// root and iproute2. All of it goes with the object; what a killed process left over goes when the
// next one is made.
class StarNetwork {
 public:
  // Those from `far_from` on are at a second bridge, which a trunk joins to the first; the hub
  // reaches them without it.
  explicit StarNetwork(const std::vector<int>& mbit,
                       int far_from = std::numeric_limits<int>::max());
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
  // Takes the trunk between the bridges down, or up again.
  bool SetTrunk(bool up) const;
  // Whether a shell command that runs in namespace k succeeds.
  bool RunIn(int k, const std::string& command) const;

  // What `measure` returns, called in a child process: it may move into a namespace, while this one
  // stays outside to delete them. Not 0 when the child dies.
  int RunInChild(const std::function<int()>& measure) const;

 private:
  bool MakeFarBridge() const;

  const std::string name_;
  const int size_;
  const int far_from_;
  bool made_ = false;
};

// Moves this thread, and all that it starts later, to the network of a namespace. Ends the process
// with a message when that fails.
void EnterNetwork(const std::string& name);
// Moves this process into a namespace, with a /sys that shows its devices, as `ip netns exec` does.
void EnterNamespace(const std::string& name);

}  // namespace weightmesh
