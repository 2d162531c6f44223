// The cost of giving an anchor to its object, equation (2) of the paper. Torch-free.
//
//   c = FL(p, C) + box_weight * (1 - IoU(b, B))
//
// FL is the sigmoid focal loss of the one-hot target, summed over the classes. IoU may be GIoU.
#pragma once

#include "ops/focal_loss/focal_loss_math.h"
#include "ops/iou/iou_math.h"

namespace colad {

// The options that networks which assign together share.
struct SharedCostOptions {
  FocalOptions<float> focal;
  IouMode box_cost;
  float box_weight;
};

struct CostOptions : SharedCostOptions {
  bool probs;  // class predictions are probabilities, not logits
};

COLAD_HD float box_cost(const Box<float>& box, const Box<float>& gt, const SharedCostOptions& options) {
  return options.box_weight * (1.0f - box_iou(box, gt, options.box_cost));
}

}  // namespace colad
