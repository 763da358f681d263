// TemporaryFolder: a fresh folder that goes, with all in it, when its object does.
#pragma once

#include <string>

namespace weightmesh {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file in it; returns its path.
  std::string Write(const std::string& name, const std::string& content) const;

 private:
  std::string path_;
};

// The whole content; empty if there is no such file.
std::string ReadFile(const std::string& path);

}  // namespace weightmesh
