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

}  // namespace colad
