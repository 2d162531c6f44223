// assign_cost on the CPU, for operators that compute the costs of one image after the other.
#pragma once

#include "ops/assign_cost/assign_cost.h"

namespace colad {

// Throws if a label is not a class.
void check_labels_exist(const AssignCostParams& p);

// Writes the costs of anchors begin..end of `image` to p.cost: kNoCost for anchors without an object. Every row in
// p.matched and every label must exist.
void write_costs(const AssignCostParams& p, int64_t image, int64_t begin, int64_t end);

}  // namespace colad
