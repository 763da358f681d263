// What every benchmark takes on its command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace weightmesh::bench {

struct Options {
  std::string only;  // rows whose name begins so
  std::string json;  // where to append the rows
  bool smoke =
      false;  // as little work as there can be: shows that it runs, its figures say nothing

  bool Wants(const std::string& row) const { return row.rfind(only, 0) == 0; }
};

inline void Declare(CLI::App* app, Options* options) {
  app->add_option("--only", options->only, "only rows whose name begins with this");
  app->add_option("--json", options->json, "append the rows to this file, one JSON object a line");
  app->add_flag("--smoke", options->smoke, "a short run that shows only that it works");
}

}  // namespace weightmesh::bench
