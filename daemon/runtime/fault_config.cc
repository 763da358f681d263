// Ranges of FaultConfig, as the comments of daemon_config.proto promise them.
#include "daemon/runtime/fault_config.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

constexpr uint32_t kDelayMaxMs = 3'600'000;

FaultRule RuleOf(const v1::FaultRule& rule) { return FaultRule{rule.rate(), rule.nth()}; }

}  // namespace

absl::Status CheckFaults(const v1::FaultConfig& config) {
  const std::pair<const char*, const v1::FaultRule&> rules[] = {
      {"fail_pull", config.fail_pull()},
      {"drop_request", config.drop_request()},
      {"drop_answer", config.drop_answer()},
      {"fail_send", config.fail_send()},
      {"corrupt", config.corrupt()},
      {"tear", config.tear()},
      {"drop_cancel", config.drop_cancel()},
      {"duplicate_request", config.duplicate_request()},
      {"duplicate_answer", config.duplicate_answer()},
      {"duplicate_send", config.duplicate_send()},
      {"stop_pull", config.stop_pull()},
      {"stop_send", config.stop_send()},
  };
  for (const auto& [name, rule] : rules) {
    if (rule.rate() >= 0 && rule.rate() <= 1) continue;  // not NaN either
    return absl::InvalidArgumentError(absl::StrCat("transport.faults.", name, ".rate is ",
                                                   rule.rate(), "; allowed: 0 to 1 (default 0)"));
  }
  if (config.delay_ms_min() > config.delay_ms_max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "transport.faults.delay_ms_min is ", config.delay_ms_min(), " and delay_ms_max is ",
        config.delay_ms_max(), "; delay_ms_max must be at least delay_ms_min"));
  }
  if (config.delay_ms_max() > kDelayMaxMs) {
    return absl::InvalidArgumentError(absl::StrCat("transport.faults.delay_ms_max is ",
                                                   config.delay_ms_max(), "; allowed: 0 to ",
                                                   kDelayMaxMs, " (default 0)"));
  }
  return absl::OkStatus();
}

FaultOptions FaultOptionsOf(const v1::FaultConfig& config) {
  FaultOptions options;
  options.seed = config.seed();
  options.fail_pull = RuleOf(config.fail_pull());
  options.drop_request = RuleOf(config.drop_request());
  options.drop_answer = RuleOf(config.drop_answer());
  options.fail_send = RuleOf(config.fail_send());
  options.corrupt = RuleOf(config.corrupt());
  options.tear = RuleOf(config.tear());
  options.drop_cancel = RuleOf(config.drop_cancel());
  options.duplicate_request = RuleOf(config.duplicate_request());
  options.duplicate_answer = RuleOf(config.duplicate_answer());
  options.duplicate_send = RuleOf(config.duplicate_send());
  options.stop_pull = RuleOf(config.stop_pull());
  options.stop_send = RuleOf(config.stop_send());
  options.delay_ms_min = config.delay_ms_min();
  options.delay_ms_max = config.delay_ms_max();
  return options;
}

std::string DescribeFaults(const FaultCounts& counts) {
  const std::pair<const char*, uint64_t> rows[] = {
      {"pulls_failed", counts.pulls_failed},
      {"requests_dropped", counts.requests_dropped},
      {"answers_dropped", counts.answers_dropped},
      {"cancels_dropped", counts.cancels_dropped},
      {"requests_duplicated", counts.requests_duplicated},
      {"answers_duplicated", counts.answers_duplicated},
      {"sends_duplicated", counts.sends_duplicated},
      {"sends_failed", counts.sends_failed},
      {"corrupted", counts.corrupted},
      {"torn", counts.torn},
      {"pulls_stopped", counts.pulls_stopped},
      {"sends_stopped", counts.sends_stopped},
      {"delayed", counts.delayed},
  };
  std::string text;
  for (const auto& [name, count] : rows) {
    absl::StrAppend(&text, text.empty() ? "" : " ", name, "=", count);
  }
  return text;
}

}  // namespace weightmesh
