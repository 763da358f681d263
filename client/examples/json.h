// Writing flat JSON: what letter_trainer's results need, and no more.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace letter {

// Values as JSON text. Numbers that JSON cannot hold (NaN, infinities) become null.
std::string JsonString(std::string_view value);
std::string JsonNumber(double value);
std::string JsonBool(bool value);
std::string JsonArray(const std::vector<std::string>& values);

// An object, written key by key; `value` is JSON text as made by the functions here.
class JsonObject {
 public:
  JsonObject& Add(std::string_view key, const std::string& value);
  std::string text() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

}  // namespace letter
