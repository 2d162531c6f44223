// split_candidates on the CPU, for operators that process one image after the other.
#pragma once

#include <algorithm>

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

// Throws if a match is none of the rows of its image, background or ignored.
void check_matches(const CandidateParams& p);

// Calls visit(row, keys, count) for the objects of an image.
template <typename VisitObject>
void for_each_object(const CandidateParams& p, int64_t image, Buckets& buckets, VisitObject visit) {
  const int64_t first = p.gt_offsets[image];
  for (int64_t row = first; row < p.gt_offsets[image + 1]; ++row) {
    const int64_t at = buckets.begin[row - first];
    visit(row, buckets.keys.data() + at, buckets.begin[row - first + 1] - at);
  }
}

// Calls visit(level, begin, end) for the candidates of each level. The keys are in anchor order, so the levels follow
// each other.
template <typename Visit>
void for_each_level(const CandidateParams& p, uint64_t* begin, uint64_t* end, Visit visit) {
  for (int level = 0; level < p.levels; ++level) {
    uint64_t* stop =
        std::find_if(begin, end, [&](uint64_t key) { return sample_anchor(key) >= p.level_begin[level + 1]; });
    visit(level, begin, stop);
    begin = stop;
  }
}

struct MeanAndStd {
  double mean, std;
};

MeanAndStd moments_of(const uint64_t* keys, int64_t count);

// Moves the samples of an object to the front of `keys`, sorted, fits and scores them. The buffer holds their number
// and scores.
EmResult fit_samples(const SplitParams& p, uint64_t* keys, int64_t count, FitBuffer& buffer);

// Splits the candidates of one image and writes everything that split_candidates returns of this image. p.matched may
// be the same memory as the matches that are read.
void split_image(const SplitParams& p, int64_t image, SplitScratch& scratch);

}  // namespace colad
