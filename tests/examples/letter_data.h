// The data set of the tests: the file that letter_trainer reads by default.
#pragma once

#include <string>

#include "client/examples/options.h"

namespace letter {

inline std::string LetterFile() {
  int exit_code = 0;
  const char* arguments[] = {"letter_trainer"};
  return ParseCommandLine(1, arguments, &exit_code).value().data_file;
}

// Loaded once.
inline const Split& Letter() {
  static const Split split = LoadLetter(LetterFile(), ScoreOn::kTest);
  return split;
}

}  // namespace letter
