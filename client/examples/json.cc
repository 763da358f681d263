// Writing flat JSON.
#include "client/examples/json.h"

#include <cmath>
#include <cstdio>

namespace letter {

std::string JsonString(std::string_view value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(c));
      text += escaped;
    } else {
      text += c;
    }
  }
  return text + "\"";
}

std::string JsonNumber(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

std::string JsonBool(bool value) { return value ? "true" : "false"; }

std::string JsonArray(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ", ") + value;
  return "[" + text + "]";
}

JsonObject& JsonObject::Add(std::string_view key, const std::string& value) {
  if (!members_.empty()) members_ += ", ";
  members_ += JsonString(key) + ": " + value;
  return *this;
}

}  // namespace letter
