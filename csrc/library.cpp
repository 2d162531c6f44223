// The directory board: every operator of torch.ops.colad. Meanings are in colad_ops/ops/<op>.py, implementations in
// csrc/ops/<op>/.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(colad, m) {
  // iou
  m.def("box_iou(Tensor boxes1, Tensor boxes2, str mode) -> Tensor");
  m.def("box_iou_backward(Tensor grad, Tensor boxes1, Tensor boxes2, str mode) -> (Tensor, Tensor)");
  m.def("aligned_box_iou(Tensor boxes1, Tensor boxes2, str mode) -> Tensor");
  m.def("aligned_box_iou_backward(Tensor grad, Tensor boxes1, Tensor boxes2, str mode) -> (Tensor, Tensor)");
  // match_anchors
  m.def(
      "match_anchors(Tensor anchors, Tensor gt_boxes, Tensor gt_offsets, Tensor? valid, Tensor? ignore_boxes, "
      "Tensor? ignore_offsets, float iou_threshold, str low_quality, float ignore_iof, bool claim_zero_overlap, "
      "bool inclusive_corners=False) "
      "-> (Tensor matched, Tensor iou)");
  // assign_cost
  m.def(
      "assign_cost(Tensor[] logits, Tensor[] boxes, Tensor gt_boxes, Tensor gt_labels, Tensor matched, float alpha, "
      "float gamma, str box_cost, float box_weight, bool probs) -> Tensor");
  // gmm_em
  m.def(
      "gmm_em(Tensor values, Tensor starts, Tensor ends, bool tied, int max_iter, float tol, float reg_covar) "
      "-> (Tensor weights, Tensor means, Tensor variances, Tensor responsibility, Tensor labels, "
      "Tensor log_likelihood, Tensor n_iter, Tensor converged)");
  // split_candidates
  m.def(
      "split_candidates(Tensor cost, Tensor matched, Tensor gt_offsets, SymInt num_objects, SymInt[] level_sizes, int "
      "topk, bool tied, "
      "int max_iter, float tol, float reg_covar, str split, bool keep_single, bool keep_without_component0, "
      "bool prefix) -> (Tensor matched, Tensor num_pos, Tensor mean, Tensor std, Tensor weights, Tensor means, "
      "Tensor variances)");
  m.def(
      "cost_statistics(Tensor costs, Tensor matched, Tensor gt_offsets, SymInt num_objects, SymInt[] level_sizes) "
      "-> (Tensor count, Tensor mean, Tensor std)");
  // paa_assign
  m.def(
      "paa_assign(Tensor[] logits, Tensor[] boxes, Tensor anchors, Tensor gt_boxes, Tensor gt_labels, Tensor "
      "gt_offsets, "
      "Tensor? valid, Tensor? ignore_boxes, Tensor? ignore_offsets, SymInt[] level_sizes, float iou_threshold, "
      "str low_quality, float ignore_iof, bool claim_zero_overlap, bool inclusive_corners, float alpha, float gamma, "
      "str box_cost, float box_weight, bool probs, int topk, bool tied, int max_iter, float tol, float reg_covar, "
      "str split, bool keep_single, bool keep_without_component0, bool prefix) -> (Tensor matched, Tensor cost, "
      "Tensor num_pos, Tensor mean, Tensor std, Tensor weights, Tensor means, Tensor variances)");
  // colad_assign
  m.def("indicator_means(Tensor values, Tensor gt_offsets) -> Tensor");
  m.def("select_costs(Tensor costs, Tensor matched, Tensor teacher, SymInt[] level_sizes) -> Tensor");
  // focal_loss
  m.def(
      "sigmoid_focal_loss(Tensor logits, Tensor labels, Tensor? weight, float alpha, float gamma, bool sum) -> Tensor");
  m.def(
      "sigmoid_focal_loss_and_gradient(Tensor logits, Tensor labels, Tensor? weight, float alpha, float gamma, "
      "Tensor? grad) -> (Tensor loss, Tensor gradient)");
  m.def(
      "sigmoid_focal_loss_backward(Tensor grad, Tensor logits, Tensor labels, Tensor? weight, float alpha, "
      "float gamma) -> Tensor");
  // focal_kl
  m.def(
      "focal_kl_loss(Tensor student_logits, Tensor teacher, Tensor? weight, float gamma, bool teacher_is_logits, "
      "float smooth, bool sum) -> Tensor");
  m.def(
      "focal_kl_loss_and_gradient(Tensor student_logits, Tensor teacher, Tensor? weight, float gamma, "
      "bool teacher_is_logits, float smooth, Tensor? grad) -> (Tensor loss, Tensor gradient)");
  m.def(
      "focal_kl_loss_backward(Tensor grad, Tensor student_logits, Tensor teacher, Tensor? weight, float gamma, "
      "bool teacher_is_logits, float smooth) -> Tensor");
  // nms
  m.def("nms_keep(Tensor boxes, Tensor labels, Tensor images, float iou_threshold) -> Tensor");
  // score_voting
  m.def(
      "score_voting(Tensor boxes, Tensor labels, Tensor all_boxes, Tensor all_scores, float sigma, "
      "float iou_threshold, float score_threshold) -> Tensor");
}
