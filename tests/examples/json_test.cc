// Results as JSON.
#include "client/examples/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace letter {
namespace {

TEST(Json, WritesObjects) {
  const std::string text = JsonObject()
                               .Add("name", JsonString("a \"b\" \\ \n"))
                               .Add("value", JsonNumber(0.5))
                               .Add("list", JsonArray({JsonNumber(1), JsonBool(true)}))
                               .Add("empty", JsonArray({}))
                               .text();
  EXPECT_EQ(text, R"({"name": "a \"b\" \\ \u000a", "value": 0.5, "list": [1, true], "empty": []})");
}

TEST(Json, HasNoNumberThatIsNotFinite) {
  EXPECT_EQ(JsonNumber(std::numeric_limits<double>::quiet_NaN()), "null");
  EXPECT_EQ(JsonNumber(-std::numeric_limits<double>::infinity()), "null");
}

}  // namespace
}  // namespace letter
