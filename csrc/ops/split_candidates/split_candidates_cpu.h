// split_candidates on the CPU, for operators that process one image after the other.
#pragma once

#include "ops/gmm_em/gmm_em_cpu.h"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

// The candidates of one image, object by object. Those of one object are in anchor order.
struct Buckets {
  std::vector<uint64_t> keys;
  std::vector<int64_t> begin;  // where the keys of each object of the image begin, and the end

  void fill(const CandidateParams& p, int64_t image);

 private:
  std::vector<uint64_t> found_;     // the keys of all candidates of the image, in anchor order
  std::vector<int64_t> object_of_;  // the object of each, counted within the image
  std::vector<int64_t> next_;
};

// The memory of one thread, reused for every image. Its size is in the order of the candidates and the objects of an
// image.
struct SplitScratch {
  Buckets buckets;
  FitBuffer fit;
};

// Splits the candidates of one image and writes everything that split_candidates returns of this image. p.matched may
// be the same memory as the matches that are read.
void split_image(const SplitParams& p, int64_t image, SplitScratch& scratch);

}  // namespace colad
