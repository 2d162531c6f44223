// The list of all operators of torch.ops.colad, with the default of every option. colad_ops/ops/<op>.py documents an
// operator, csrc/ops/<op>/ implements it.
//
// Each macro below lists the options of one struct: MATCH_OPTIONS those of MatchOptions. One function in the folder of
// the operator checks the options and makes the struct; it takes them in this order. The defaults are those of Python:
// a test compares them.
#include <torch/csrc/stable/library.h>

// Data that a call of matching may leave out.
#define REGIONS "Tensor? valid=None, Tensor? ignore_boxes=None, Tensor? ignore_offsets=None"
#define MATCH_OPTIONS                                                      \
  "float iou_threshold=0.1, str low_quality='all', float ignore_iof=0.5, " \
  "bool claim_zero_overlap=False, bool inclusive_corners=False"
#define FOCAL_LOSS_OPTIONS "float alpha=0.25, float gamma=2.0"
#define SHARED_COST_OPTIONS FOCAL_LOSS_OPTIONS ", str box_cost='iou', float box_weight=1.0"
#define COST_OPTIONS SHARED_COST_OPTIONS ", bool probs=False"
#define MIXTURE_OPTIONS "str covariance='full', int max_iter=100, float tol=0.001, float reg_covar=1e-06"
#define SPLIT_OPTIONS            \
  "int topk=9, " MIXTURE_OPTIONS \
  ", str split='peak', str single_candidate='keep', str no_component0='all', bool prefix=True"
#define INDICATOR_OPTIONS "str indicator='std_mean', str granularity='iteration'"
#define FOCAL_KL_LOSS_OPTIONS "float gamma=2.0, bool teacher_is_logits=True, float smooth=0.0"
#define VOTING_OPTIONS "float sigma=0.025, float iou_threshold=0.01, float score_threshold=0.05"
#define DECODE_OPTIONS "float[] stds=[0.1, 0.1, 0.2, 0.2], float max_ratio=62.5"

STABLE_TORCH_LIBRARY(colad, m) {
  // iou
  m.def("box_iou(Tensor boxes1, Tensor boxes2, str mode='iou') -> Tensor");
  m.def("box_iou_backward(Tensor grad, Tensor boxes1, Tensor boxes2, str mode='iou') -> (Tensor, Tensor)");
  m.def("aligned_box_iou(Tensor boxes1, Tensor boxes2, str mode='iou') -> Tensor");
  m.def("aligned_box_iou_backward(Tensor grad, Tensor boxes1, Tensor boxes2, str mode='iou') -> (Tensor, Tensor)");
  // matched_iou
  m.def("matched_box_iou(Tensor boxes, Tensor gt_boxes, Tensor matched, str mode='iou') -> Tensor");
  m.def(
      "matched_box_iou_backward(Tensor grad, Tensor boxes, Tensor gt_boxes, Tensor matched, str mode='iou') -> Tensor");
  // decode_boxes
  m.def("decode_boxes(Tensor anchors, Tensor[] deltas, " DECODE_OPTIONS ") -> Tensor");
  m.def("decode_boxes_backward(Tensor grad, Tensor anchors, Tensor[] deltas, " DECODE_OPTIONS ") -> Tensor[]");
  // match_anchors
  m.def("match_anchors(Tensor anchors, Tensor gt_boxes, Tensor gt_offsets, " REGIONS ", " MATCH_OPTIONS
        ") -> (Tensor matched, Tensor iou)");
  // assign_cost
  m.def("assign_cost(Tensor[] logits, Tensor[] boxes, Tensor gt_boxes, Tensor gt_labels, Tensor matched, " COST_OPTIONS
        ") -> Tensor");
  // gmm_em
  m.def("gmm_em(Tensor values, Tensor starts, Tensor ends, " MIXTURE_OPTIONS
        ") -> (Tensor weights, Tensor means, Tensor variances, Tensor responsibility, Tensor labels, "
        "Tensor log_likelihood, Tensor n_iter, Tensor converged)");
  // split_candidates
  m.def(
      "split_candidates(Tensor cost, Tensor matched, Tensor gt_offsets, SymInt num_objects, "
      "SymInt[] level_sizes, " SPLIT_OPTIONS
      ") -> (Tensor matched, Tensor num_pos, Tensor mean, Tensor std, Tensor weights, Tensor means, Tensor variances)");
  m.def(
      "cost_statistics(Tensor costs, Tensor matched, Tensor gt_offsets, SymInt num_objects, SymInt[] level_sizes) "
      "-> (Tensor num_candidates, Tensor mean, Tensor std)");
  // paa_assign
  m.def(
      "paa_assign(Tensor[] logits, Tensor[] boxes, Tensor anchors, Tensor gt_boxes, Tensor gt_labels, "
      "Tensor gt_offsets, SymInt[] level_sizes, " REGIONS ", " MATCH_OPTIONS ", " COST_OPTIONS ", " SPLIT_OPTIONS
      ") -> (Tensor matched, Tensor cost, Tensor num_pos, Tensor mean, Tensor std, Tensor weights, Tensor means, "
      "Tensor variances)");
  // colad_assign
  m.def(
      "colad_indicators(Tensor[] logits, Tensor[] boxes, Tensor anchors, Tensor gt_boxes, Tensor gt_labels, "
      "Tensor gt_offsets, SymInt[] level_sizes, int[] logit_levels, int[] box_levels, int[] probs, " REGIONS
      ", " INDICATOR_OPTIONS ", " MATCH_OPTIONS ", " SHARED_COST_OPTIONS ", " SPLIT_OPTIONS
      ") -> (Tensor matched, Tensor costs, Tensor choice, Tensor totals, Tensor counters, Tensor keys)");
  m.def(
      "colad_split(Tensor costs, Tensor matched, Tensor gt_offsets, Tensor choice, Tensor totals, Tensor counters, "
      "Tensor keys, SymInt[] level_sizes, str granularity='iteration', " SPLIT_OPTIONS
      ") -> (Tensor matched, Tensor cost, Tensor num_pos, Tensor mean, Tensor std, Tensor weights, Tensor means, "
      "Tensor variances, Tensor teacher, Tensor indicators)");
  // focal_loss
  m.def("sigmoid_focal_loss(Tensor logits, Tensor labels, Tensor? weight=None, str reduction='sum', " FOCAL_LOSS_OPTIONS
        ") -> Tensor");
  m.def(
      "sigmoid_focal_loss_and_gradient(Tensor logits, Tensor labels, Tensor? weight=None, "
      "Tensor? avg_factor_tensor=None, float? avg_factor=None, str reduction='sum', " FOCAL_LOSS_OPTIONS
      ") -> (Tensor loss, Tensor gradient)");
  m.def(
      "sigmoid_focal_loss_backward(Tensor grad, Tensor logits, Tensor labels, Tensor? weight=None, " FOCAL_LOSS_OPTIONS
      ") -> Tensor");
  // focal_kl
  m.def(
      "focal_kl_loss(Tensor student_logits, Tensor teacher, Tensor? weight=None, "
      "str reduction='sum', " FOCAL_KL_LOSS_OPTIONS ") -> Tensor");
  m.def(
      "focal_kl_loss_and_gradient(Tensor student_logits, Tensor teacher, Tensor? weight=None, "
      "Tensor? avg_factor_tensor=None, float? avg_factor=None, str reduction='sum', " FOCAL_KL_LOSS_OPTIONS
      ") -> (Tensor loss, Tensor gradient)");
  m.def(
      "focal_kl_loss_backward(Tensor grad, Tensor student_logits, Tensor teacher, "
      "Tensor? weight=None, " FOCAL_KL_LOSS_OPTIONS ") -> Tensor");
  // scale_gradient
  m.def("scale_gradient_(Tensor(a!) gradient, Tensor grad) -> ()");
  // nms
  m.def("nms_keep(Tensor boxes, Tensor labels, Tensor images, float iou_threshold=0.6) -> Tensor");
  m.def(
      "batched_nms(Tensor boxes, Tensor scores, Tensor labels, Tensor? image_offsets=None, "
      "float iou_threshold=0.6) -> Tensor");
  // score_voting
  m.def("score_voting(Tensor boxes, Tensor labels, Tensor all_boxes, Tensor all_scores, " VOTING_OPTIONS ") -> Tensor");
}
