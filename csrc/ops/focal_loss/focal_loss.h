// Contract of sigmoid_focal_loss, its value and derivative at one element, and the operators. A backend passes its loop
// over the elements as a template parameter.
#pragma once

#include "ops/focal_loss/focal_loss_math.h"
#include "ops/focal_loss/focal_loss_options.h"
#include "ops/losses/loss_layout.h"
#include "ops/match_anchors/match_codes.h"

namespace colad {

struct FocalLossCall {
  LossCall loss;
  Strided labels;
  FocalLossOptions options;
};

inline FocalLossCall focal_loss_contract(const Tensor& logits, const Tensor& labels,
                                         const std::optional<Tensor>& weight, const FocalLossOptions& options,
                                         const Tensor* grad, LossResult result) {
  check(logits.dim() >= 1, "logits should have shape (..., C), got ", shape_of(logits));
  const auto sizes = logits.sizes();
  check_shape(labels, "labels", {sizes.begin(), sizes.end() - 1}, "of logits without its last dimension");
  check_dtype(labels, "labels", ScalarType::Long);
  check_same_device(labels, "labels", logits, "logits");
  return {loss_contract(logits, "logits", weight, grad, result), strided_rows(labels), options};
}

// Whether a label is a class or background (-1 and C). Other labels are ignored: -2, and on CUDA also labels that do
// not exist, because checking them would synchronise with the device.
COLAD_HD bool label_counts(int64_t label, int64_t classes) { return label >= kBackground && label <= classes; }

// The operands of one loss.
template <typename T>
struct FocalLossOperands {
  using C = compute_t<T>;
  static constexpr bool kTargetOfRow = true;
  FocalOptions<C> options;
  Strided logits, labels;
  int64_t classes;

  explicit FocalLossOperands(const FocalLossCall& call)
      : options(static_cast<C>(call.options.alpha), static_cast<C>(call.options.gamma)),
        logits(call.loss.params.input),
        labels(call.labels),
        classes(call.loss.params.columns) {}

  COLAD_HD C logit(const Element& e) const { return static_cast<C>(static_cast<const T*>(logits.data)[logits.at(e)]); }

  // The label of an element's row. For a label that does not exist it is kIgnored.
  COLAD_HD int64_t label(const Element& e) const {
    const int64_t label = static_cast<const int64_t*>(labels.data)[labels.at(e)];
    return label_counts(label, classes) ? label : kIgnored;
  }
  COLAD_HD bool counts(const Element& e) const { return label(e) != kIgnored; }
  // Whether the label is the element's column.
  COLAD_HD bool target_at(const Element& e) const { return label(e) == e.column; }
};

// Checks the values of the labels. CPU only.
inline void check_labels(const FocalLossCall& call) {
  const LossParams& p = call.loss.params;
  for (int64_t image = 0; image < p.images; ++image) {
    for (int64_t anchor = 0; anchor < p.anchors; ++anchor) {
      const int64_t label = static_cast<const int64_t*>(call.labels.data)[call.labels.at({image, anchor, 0})];
      check(label >= kIgnored && label <= p.columns, "labels should be in -2..", p.columns, ", got ", label, " at row ",
            image * p.anchors + anchor);
    }
  }
}

// Walk is how a backend goes over the elements: CpuLoss or CudaLoss, and Walk::At<T>, the operands with the formula.
template <typename Walk>
Tensor sigmoid_focal_loss_op(const Tensor& logits, const Tensor& labels, std::optional<Tensor> weight,
                             std::string_view reduction, const FocalLossOptions& options) {
  const LossResult result = loss_result(reduction);
  const FocalLossCall call = focal_loss_contract(logits, labels, weight, options, nullptr, result);
  if (logits.is_cpu()) {
    check_labels(call);
  }
  const bool sum = result == LossResult::sum;
  dispatch_floating(call.loss.dtype, [&]<typename T>() {
    Walk::template forward<T>(call.loss, typename Walk::template At<T>(call), sum);
  });
  return sum ? call.loss.total : call.loss.out;
}

// Returns the sum divided by max(1, avg_factor), and its gradient. A mean without avg_factor is divided by the number
// of elements.
template <typename Walk>
std::tuple<Tensor, Tensor> sigmoid_focal_loss_and_gradient_op(
    const Tensor& logits, const Tensor& labels, std::optional<Tensor> weight, std::optional<Tensor> avg_factor_tensor,
    std::optional<double> avg_factor, std::string_view reduction, const FocalLossOptions& options) {
  FocalLossCall call = focal_loss_contract(logits, labels, weight, options, nullptr, LossResult::sum_and_gradient);
  set_divisor(call.loss, logits, "logits", reduction, avg_factor_tensor, avg_factor);
  if (logits.is_cpu()) {
    check_labels(call);
  }
  dispatch_floating(call.loss.dtype, [&]<typename T>() {
    Walk::template sum_and_gradient<T>(call.loss, typename Walk::template At<T>(call));
  });
  return {call.loss.total, call.loss.out};
}

template <typename Walk>
Tensor sigmoid_focal_loss_backward_op(const Tensor& grad, const Tensor& logits, const Tensor& labels,
                                      std::optional<Tensor> weight, const FocalLossOptions& options) {
  const FocalLossCall call = focal_loss_contract(logits, labels, weight, options, &grad, LossResult::elements);
  dispatch_floating(call.loss.dtype, [&]<typename T>() {
    Walk::template backward<T>(call.loss, typename Walk::template At<T>(call), grad.dim() == 0);
  });
  return call.loss.out;
}

}  // namespace colad
