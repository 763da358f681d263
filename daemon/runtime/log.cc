// Log lines: one formatter for both formats.
#include "daemon/runtime/log.h"

#include <fcntl.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kLostLinesTold = absl::Minutes(1);
constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Bytes of the UTF-8 character that `text` begins with; 0 if it begins with none.
size_t CharacterBytes(absl::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < bytes) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies beyond Unicode.
  if (first == 0xE0 && at(1) < 0xA0) return 0;
  if (first == 0xED && at(1) > 0x9F) return 0;
  if (first == 0xF0 && at(1) < 0x90) return 0;
  if (first == 0xF4 && at(1) > 0x8F) return 0;
  return bytes;
}

// Appends `text` as valid UTF-8 without control characters; `json`: also as the inside of a string.
void AppendEscaped(absl::string_view text, bool json, std::string* line) {
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    const unsigned char first = static_cast<unsigned char>(text[0]);
    if (bytes == 0) {
      absl::StrAppend(line, kReplacement);
    } else if (first == '\n') {
      absl::StrAppend(line, "\\n");
    } else if (first == '\t') {
      absl::StrAppend(line, "\\t");
    } else if (first < 0x20 || first == 0x7F) {
      absl::StrAppendFormat(line, "\\u%04x", first);
    } else if (json && (first == '"' || first == '\\')) {
      absl::StrAppend(line, "\\", text.substr(0, 1));
    } else {
      absl::StrAppend(line, text.substr(0, bytes));
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
}

const char* LevelName(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::info:
      return "info";
    case spdlog::level::warn:
      return "warning";
    default:
      return "error";
  }
}

class LineFormatter : public spdlog::formatter {
 public:
  explicit LineFormatter(bool json) : json_(json) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ",
                                              absl::FromChrono(message.time), absl::UTCTimeZone());
    const absl::string_view payload(message.payload.data(), message.payload.size());
    std::string line;
    if (json_) {
      line = absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", LevelName(message.level),
                          "\",\"message\":\"");
      AppendEscaped(payload, true, &line);
      line += "\"}\n";
    } else {
      line = absl::StrCat(time, " ", LevelName(message.level), " ");
      AppendEscaped(payload, false, &line);
      line += "\n";
    }
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(json_);
  }

 private:
  const bool json_;
};

spdlog::level::level_enum SpdlogLevel(v1::Log::Level level) {
  switch (level) {
    case v1::Log::LEVEL_DEBUG:
      return spdlog::level::debug;
    case v1::Log::LEVEL_WARNING:
      return spdlog::level::warn;
    case v1::Log::LEVEL_ERROR:
      return spdlog::level::err;
    default:
      return spdlog::level::info;
  }
}

// The daemon goes on without its log: it says so on standard error, once a minute at most.
void TellOfLostLines(const std::string& file, spdlog::logger* logger) {
  logger->set_error_handler([file, told = std::make_shared<std::atomic<int64_t>>(INT64_MIN)](
                                const std::string& reason) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t before = told->load();
    if (before != INT64_MIN && now.tv_sec - before < absl::ToInt64Seconds(kLostLinesTold)) return;
    told->store(now.tv_sec);
    std::fprintf(stderr,
                 "weightmeshd: the log file %s cannot be written (%s): lines are lost; free some "
                 "space there\n",
                 file.c_str(), reason.c_str());
  });
}

}  // namespace

absl::StatusOr<std::shared_ptr<spdlog::logger>> MakeLogger(const v1::Log& config) {
  spdlog::sink_ptr sink;
  if (config.file().empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    // Tried by hand first: spdlog creates missing folders, which hides a misspelt path.
    const FileDescriptor probe(
        open(config.file().c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!probe.valid()) {
      const absl::Status status = absl::ErrnoToStatus(
          errno, absl::StrCat("the log file ", config.file(), " cannot be written"));
      return absl::Status(status.code(), absl::StrCat(status.message(),
                                                      "; create its folder, or give another file "
                                                      "(log.file, --log-file)"));
    }
    try {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(config.file());
    } catch (const spdlog::spdlog_ex& error) {
      return absl::UnavailableError(
          absl::StrCat("the log file ", config.file(), " cannot be written: ", error.what()));
    }
  }
  auto logger = std::make_shared<spdlog::logger>("weightmeshd", std::move(sink));
  if (!config.file().empty()) TellOfLostLines(config.file(), logger.get());
  logger->set_formatter(std::make_unique<LineFormatter>(config.format() == v1::Log::FORMAT_JSON));
  logger->set_level(SpdlogLevel(config.level()));
  logger->flush_on(spdlog::level::info);
  return logger;
}

void WriteLog(const Log& entry, spdlog::logger* logger) {
  switch (entry.level) {
    case LogLevel::kDebug:
      logger->debug(entry.text);
      return;
    case LogLevel::kInfo:
      logger->info(entry.text);
      return;
    case LogLevel::kWarning:
      logger->warn(entry.text);
      return;
  }
}

}  // namespace weightmesh
