// The multi-layer perceptron on BLAS's sgemm.
#include "client/examples/mlp.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace letter {
namespace {

// A row-major matrix in someone else's memory, read as it is or transposed.
struct Matrix {
  const float* data;
  size_t columns;
  CBLAS_TRANSPOSE transpose = CblasNoTrans;
};

// out (rows × columns) = a (rows × inner) · b (inner × columns) + beta · out.
void Multiply(Matrix a, Matrix b, size_t rows, size_t columns, size_t inner, float beta,
              float* out) {
  cblas_sgemm(CblasRowMajor, a.transpose, b.transpose, static_cast<blasint>(rows),
              static_cast<blasint>(columns), static_cast<blasint>(inner), 1.0F, a.data,
              static_cast<blasint>(a.columns), b.data, static_cast<blasint>(b.columns), beta, out,
              static_cast<blasint>(columns));
}

}  // namespace

Mlp::Mlp(const std::vector<size_t>& widths, uint64_t seed) {
  openblas_set_num_threads(1);
  size_t end = 0;
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    const size_t bias_begin = end + widths[l] * widths[l + 1];
    layers_.push_back({widths[l], widths[l + 1], end, bias_begin, bias_begin + widths[l + 1]});
    end = layers_.back().end;
  }
  parameters_.assign(end, 0.0F);
  activations_.resize(layers_.size());

  std::mt19937_64 generator = SeededGenerator(seed, "initial weights");
  for (const Layer& layer : layers_) {
    const float bound = std::sqrt(6.0F / static_cast<float>(layer.inputs));
    for (size_t i = layer.weight_begin; i < layer.bias_begin; ++i) {
      // 24 bits fill a float's mantissa: evenly spaced in [0, 1), equal on every machine.
      const float uniform = static_cast<float>(generator() >> 40) * 0x1p-24F;
      parameters_[i] = bound * (2.0F * uniform - 1.0F);
    }
  }
}

void Mlp::Forward(const Rows& batch) {
  const float* inputs = batch.inputs.data();
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    std::vector<float>& outputs = activations_[l];
    outputs.resize(batch.size() * layer.outputs);
    const float* bias = &parameters_[layer.bias_begin];
    for (size_t row = 0; row < batch.size(); ++row) {
      std::copy_n(bias, layer.outputs, &outputs[row * layer.outputs]);
    }
    Multiply({inputs, layer.inputs}, {&parameters_[layer.weight_begin], layer.outputs},
             batch.size(), layer.outputs, layer.inputs, 1.0F, outputs.data());
    if (l + 1 < layers_.size()) {
      for (float& output : outputs) output = std::max(output, 0.0F);
    }
    inputs = outputs.data();
  }
}

double Mlp::SoftmaxLoss(const Rows& batch, double label_smoothing) {
  const size_t classes = layers_.back().outputs;
  const auto off_target = static_cast<float>(label_smoothing / static_cast<double>(classes));
  const auto on_target = static_cast<float>(1.0 - label_smoothing) + off_target;
  const float scale = 1.0F / static_cast<float>(batch.size());
  double loss = 0;
  for (size_t row = 0; row < batch.size(); ++row) {
    float* logits = &activations_.back()[row * classes];
    const float highest = *std::max_element(logits, logits + classes);
    float sum = 0;
    for (size_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - highest);
    const float log_sum = highest + std::log(sum);
    const auto label = static_cast<size_t>(batch.labels[row]);
    float row_loss = 0;
    for (size_t c = 0; c < classes; ++c) {
      const float target = c == label ? on_target : off_target;
      const float log_probability = logits[c] - log_sum;
      row_loss -= target * log_probability;
      logits[c] = (std::exp(log_probability) - target) * scale;
    }
    loss += row_loss;
  }
  return loss / static_cast<double>(batch.size());
}

double Mlp::Gradient(const Rows& batch, double label_smoothing, std::span<float> gradient) {
  Forward(batch);
  const double loss = SoftmaxLoss(batch, label_smoothing);
  // activations_[l] of each layer, last to first, becomes the loss's derivative by that layer's
  // output, and then gives the derivatives by its weights, biases and inputs.
  for (size_t l = layers_.size(); l-- > 0;) {
    const Layer& layer = layers_[l];
    const float* outputs = activations_[l].data();
    const float* inputs = l > 0 ? activations_[l - 1].data() : batch.inputs.data();
    Multiply({inputs, layer.inputs, CblasTrans}, {outputs, layer.outputs}, layer.inputs,
             layer.outputs, batch.size(), 0.0F, &gradient[layer.weight_begin]);
    float* bias = &gradient[layer.bias_begin];
    std::fill_n(bias, layer.outputs, 0.0F);
    for (size_t row = 0; row < batch.size(); ++row) {
      for (size_t c = 0; c < layer.outputs; ++c) bias[c] += outputs[row * layer.outputs + c];
    }
    if (l == 0) break;
    upstream_.resize(batch.size() * layer.inputs);
    Multiply({outputs, layer.outputs},
             {&parameters_[layer.weight_begin], layer.outputs, CblasTrans}, batch.size(),
             layer.inputs, layer.outputs, 0.0F, upstream_.data());
    std::vector<float>& below = activations_[l - 1];
    for (size_t i = 0; i < below.size(); ++i) below[i] = below[i] > 0.0F ? upstream_[i] : 0.0F;
  }
  return loss;
}

double Mlp::Accuracy(const Rows& rows) {
  Forward(rows);
  const size_t classes = layers_.back().outputs;
  size_t correct = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    const float* logits = &activations_.back()[row * classes];
    correct += std::max_element(logits, logits + classes) - logits == rows.labels[row] ? 1U : 0U;
  }
  return static_cast<double>(correct) / static_cast<double>(rows.size());
}

}  // namespace letter
