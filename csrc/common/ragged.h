// Ragged batches on the device: which rows an image owns. Torch-free.
#pragma once

#include "common/host_device.h"

namespace colad {

// The rows of an image, clamped to 0..rows: on CUDA, wrong offsets cannot be found without synchronising with the
// device.
struct Rows {
  int64_t begin, end;
};

COLAD_HD Rows rows_of_image(const int64_t* offsets, int64_t image, int64_t rows) {
  const int64_t begin = offsets[image] < 0 ? 0 : (offsets[image] > rows ? rows : offsets[image]);
  const int64_t end = offsets[image + 1] > rows ? rows : offsets[image + 1];
  return {begin, end < begin ? begin : end};
}

// The image whose rows hold `row`: the last image that starts at or before it. The result is in range even if the
// offsets are wrong.
COLAD_HD int64_t image_of_row(const int64_t* offsets, int64_t images, int64_t row) {
  int64_t low = 0, high = images - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (offsets[middle] <= row) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace colad
