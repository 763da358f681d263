// LARS and its learning rates.
#include "client/examples/lars.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace letter {
namespace {

constexpr double kWarmUpShare = 36.0 / 90.0;
constexpr double kDecayPower = 2.2;

double Norm(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

}  // namespace

Lars::Lars(const LarsOptions& options, std::vector<size_t> layer_ends)
    : options_(options), layer_ends_(std::move(layer_ends)), velocity_(layer_ends_.back(), 0.0F) {}

void Lars::Step(std::span<float> parameters, std::span<const float> gradient,
                double learning_rate) {
  size_t begin = 0;
  for (const size_t end : layer_ends_) {
    const double weight_norm = Norm(parameters.subspan(begin, end - begin));
    const double gradient_norm = Norm(gradient.subspan(begin, end - begin));
    const double denominator = gradient_norm + options_.weight_decay * weight_norm;
    const double scale = denominator > 0 ? options_.coefficient * weight_norm / denominator : 0.0;
    const auto rate = static_cast<float>(learning_rate * scale);
    const auto momentum = static_cast<float>(options_.momentum);
    const auto decay = static_cast<float>(options_.weight_decay);
    for (size_t i = begin; i < end; ++i) {
      velocity_[i] = momentum * velocity_[i] + rate * (gradient[i] + decay * parameters[i]);
      parameters[i] -= velocity_[i];
    }
    begin = end;
  }
}

double LearningRate(double peak, size_t round, size_t rounds) {
  const double warm_up_rounds = kWarmUpShare * static_cast<double>(rounds);
  const auto done = static_cast<double>(round);
  if (done < warm_up_rounds) return peak * std::min(1.0, (done + 1) / warm_up_rounds);
  const double decay_share =
      (done - warm_up_rounds) / (static_cast<double>(rounds) - warm_up_rounds);
  return peak * std::pow(1.0 - decay_share, kDecayPower);
}

}  // namespace letter
