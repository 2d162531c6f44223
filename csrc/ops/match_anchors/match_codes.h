// The values of a match. Torch-free.
#pragma once

#include <cstdint>

namespace colad {

// A match is a row of the ground truth boxes (>= 0) or one of these two codes.
constexpr int64_t kBackground = -1;
constexpr int64_t kIgnored = -2;

}  // namespace colad
