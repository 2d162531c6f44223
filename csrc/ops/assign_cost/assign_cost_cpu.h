// assign_cost on the CPU, for operators that need costs of one image after the other.
#pragma once

#include "ops/assign_cost/assign_cost.h"

namespace colad {

// Throws unless every label is a class.
void check_labels_exist(const AssignCostParams& p);

// Writes the costs of anchors begin..end of `image` to p.cost: of those matched to an object, and kNoCost to the
// others. Every row in p.matched and every label has to exist.
void write_costs(const AssignCostParams& p, int64_t image, int64_t begin, int64_t end);

}  // namespace colad
