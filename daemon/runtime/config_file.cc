// Parsing of configuration files. Protobuf's parsers do the work; this adds the place and the cure.
#include "daemon/runtime/config_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <cerrno>
#include <fstream>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace weightmesh {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

std::string FieldNames(const Descriptor& message) {
  std::string names;
  for (int i = 0; i < message.field_count(); ++i) {
    absl::StrAppend(&names, i == 0 ? "" : ", ", message.field(i)->name());
  }
  return names;
}

std::string ValueNames(const EnumDescriptor& enumeration) {
  std::string names;
  for (int i = 0; i < enumeration.value_count(); ++i) {
    if (enumeration.value(i)->number() == 0) continue;  // UNSPECIFIED: only a gap in the text
    absl::StrAppend(&names, names.empty() ? "" : ", ", enumeration.value(i)->name());
  }
  return names;
}

// The part of `message` between the `n`th pair of double quotes, from 0; empty if there is none.
std::string Quoted(const std::string& message, int n) {
  size_t begin = 0;
  for (int quotes = 0; quotes <= 2 * n; ++quotes) {
    begin = message.find('"', begin);
    if (begin == std::string::npos) return "";
    ++begin;
  }
  const size_t end = message.find('"', begin);
  return end == std::string::npos ? "" : message.substr(begin, end - begin);
}

// What to do about `message` of protobuf's text parser; empty where it says enough.
std::string Cure(const std::string& message) {
  const google::protobuf::FileDescriptor& file = *v1::DaemonConfig::descriptor()->file();
  for (int i = 0; i < file.message_type_count(); ++i) {
    const Descriptor& type = *file.message_type(i);
    if (absl::StrContains(message, "has no field named") &&
        Quoted(message, 0) == type.full_name()) {
      return absl::StrCat("; the fields are: ", FieldNames(type));
    }
    if (!absl::StrContains(message, "numeration value")) continue;
    const FieldDescriptor* field = type.FindFieldByName(Quoted(message, 1));
    if (field != nullptr && field->enum_type() != nullptr) {
      return absl::StrCat("; allowed: ", ValueNames(*field->enum_type()));
    }
  }
  return "";
}

// Keeps the first error, as "file:line:column: message".
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(absl::string_view name) : name_(name) {}

  void AddError(int line, int column, const std::string& message) override {
    if (!text_.empty()) return;
    text_ = absl::StrCat(name_, ":", line + 1, ":", column + 1, ": ", message, Cure(message));
  }

  const std::string& text() const { return text_; }

 private:
  const std::string name_;
  std::string text_;
};

absl::StatusOr<v1::DaemonConfig> ParseTextproto(absl::string_view name, const std::string& text) {
  v1::DaemonConfig config;
  FirstError error(name);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(text, &config)) return config;
  return absl::InvalidArgumentError(error.text());
}

const char* TypeInWords(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return "a string";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "an object";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "a name";
    default:
      return "a number that is whole and not negative";
  }
}

// 64-bit numbers may be strings in JSON; protobuf's parser checks their digits.
bool HasType(const google::protobuf::Value& value, const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return value.has_string_value();
    case FieldDescriptor::CPPTYPE_BOOL:
      return value.has_bool_value();
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return value.has_struct_value();
    default:
      return value.has_number_value() || value.has_string_value();
  }
}

// InvalidArgument for the first field under `path` that `message` lacks, or whose type is wrong.
absl::Status CheckObject(const google::protobuf::Struct& object, const Descriptor& message,
                         const std::string& path);

absl::Status CheckValue(const google::protobuf::Value& value, const FieldDescriptor& field,
                        const std::string& path) {
  if (!HasType(value, field)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " must be ", TypeInWords(field)));
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return CheckObject(value.struct_value(), *field.message_type(), path + ".");
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM && value.has_string_value() &&
      field.enum_type()->FindValueByName(value.string_value()) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is \"", value.string_value(), "\"; allowed: ", ValueNames(*field.enum_type())));
  }
  return absl::OkStatus();
}

absl::Status CheckObject(const google::protobuf::Struct& object, const Descriptor& message,
                         const std::string& path) {
  for (const auto& [key, value] : object.fields()) {
    const FieldDescriptor* field = message.FindFieldByName(key);
    if (field == nullptr) field = message.FindFieldByCamelcaseName(key);
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, key, " is not a field; the fields are: ", FieldNames(message)));
    }
    if (value.has_null_value()) continue;
    if (!field->is_repeated()) {
      absl::Status status = CheckValue(value, *field, path + key);
      if (!status.ok()) return status;
      continue;
    }
    if (!value.has_list_value()) {
      return absl::InvalidArgumentError(absl::StrCat(path, key, " must be a list"));
    }
    for (int i = 0; i < value.list_value().values_size(); ++i) {
      absl::Status status =
          CheckValue(value.list_value().values(i), *field, absl::StrCat(path, key, "[", i, "]"));
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::DaemonConfig> ParseJson(absl::string_view name, const std::string& text) {
  google::protobuf::Struct object;
  auto parsed = google::protobuf::util::JsonStringToMessage(text, &object);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": not valid JSON: ", std::string(parsed.message())));
  }
  absl::Status status = CheckObject(object, *v1::DaemonConfig::descriptor(), "");
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(name, ": ", status.message()));
  v1::DaemonConfig config;
  parsed = google::protobuf::util::JsonStringToMessage(text, &config);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", std::string(parsed.message())));
  }
  return config;
}

bool IsJson(absl::string_view name, absl::string_view text) {
  if (absl::EndsWith(name, ".json")) return true;
  if (absl::EndsWith(name, ".textproto") || absl::EndsWith(name, ".txtpb")) return false;
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != absl::string_view::npos && text[first] == '{';
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(kConfigFileBytesMax + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof())) {
    return absl::ErrnoToStatus(errno == 0 ? EIO : errno,
                               absl::StrCat("the configuration file ", path, " cannot be read"));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kConfigFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the configuration file ", path, " is larger than ", kConfigFileBytesMax, " bytes"));
  }
  return text;
}

// One step of a field's path.
struct Step {
  const FieldDescriptor* field = nullptr;
  int index = -1;  // of a repeated field
};

// Empty when there is no such field.
std::vector<Step> StepsOf(absl::string_view path) {
  std::vector<Step> steps;
  const Descriptor* message = v1::DaemonConfig::descriptor();
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    const size_t bracket = part.find('[');
    Step step;
    if (message != nullptr) {
      step.field = message->FindFieldByName(std::string(part.substr(0, bracket)));
    }
    if (step.field == nullptr) return {};
    if (bracket != absl::string_view::npos) {
      absl::string_view digits = part.substr(bracket + 1);
      if (!absl::ConsumeSuffix(&digits, "]") || !absl::SimpleAtoi(digits, &step.index)) return {};
    }
    message = step.field->message_type();
    steps.push_back(step);
  }
  return steps;
}

}  // namespace

absl::StatusOr<v1::DaemonConfig> LoadConfig(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return text.status();
  return ParseConfig(path, *text);
}

std::string PlaceOfField(const std::string& path, absl::string_view field) {
  const absl::StatusOr<std::string> text = ReadText(path);
  const std::vector<Step> steps = StepsOf(field);
  if (!text.ok() || steps.empty()) return "";
  if (IsJson(path, *text)) return path;
  v1::DaemonConfig config;
  google::protobuf::TextFormat::ParseInfoTree places;
  google::protobuf::TextFormat::Parser parser;
  FirstError ignored(path);
  parser.RecordErrorsTo(&ignored);
  parser.WriteLocationsTo(&places);
  if (!parser.ParseFromString(*text, &config)) return "";
  const google::protobuf::TextFormat::ParseInfoTree* tree = &places;
  for (size_t k = 0; k + 1 < steps.size(); ++k) {
    tree = tree->GetTreeForNested(steps[k].field, steps[k].index);
    if (tree == nullptr) return "";
  }
  const auto place = tree->GetLocation(steps.back().field, steps.back().index);
  if (place.line < 0) return "";
  return absl::StrCat(path, ":", place.line + 1, ":", place.column + 1);
}

absl::StatusOr<v1::DaemonConfig> ParseConfig(absl::string_view name, const std::string& text) {
  return IsJson(name, text) ? ParseJson(name, text) : ParseTextproto(name, text);
}

}  // namespace weightmesh
