// split_candidates on the CPU, for operators that split one image after the other.
#pragma once

#include "ops/gmm_em/gmm_em_cpu.h"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

// The candidates of the objects of one image, each object's in anchor order.
struct Buckets {
  std::vector<uint64_t> keys;
  std::vector<int64_t> begin;  // of the image's objects, and the end

  void fill(const CandidateParams& p, int64_t image);

 private:
  std::vector<uint64_t> found_;     // all of the image's, in anchor order
  std::vector<int64_t> object_of_;  // theirs, inside the image
  std::vector<int64_t> next_;
};

// Memory of one thread, for image after image: grows with the candidates and the objects of an image.
struct SplitScratch {
  Buckets buckets;
  FitBuffer fit;
};

// Splits the candidates of one image and writes all that split_candidates returns of it. p.matched may be the matches
// that are read.
void split_image(const SplitParams& p, int64_t image, SplitScratch& scratch);

}  // namespace colad
