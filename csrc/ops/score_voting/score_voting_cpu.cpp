// score_voting on the CPU: kept boxes in parallel, those of one class after each other, because they have the same
// voters.
#include <algorithm>
#include <numeric>

#include "ops/score_voting/voters.h"

namespace colad {
namespace {

constexpr int64_t kVotesAThread = 1 << 17;  // about 100 us of work

// The votes for some kept boxes, which are sorted by label.
template <typename T>
void vote(const VotingParams& p, const Voters<T>& voters, const int64_t* begin, const int64_t* end) {
  std::vector<int32_t> chunks;
  while (begin < end) {
    std::vector<int64_t> labels;
    const int64_t* last = begin;
    for (; last < end; ++last) {
      const int64_t label = p.labels[*last];
      if (labels.empty() || label != labels.back()) {
        if (static_cast<int64_t>(labels.size()) == ClassScores<T>::most_labels(p)) {
          break;
        }
        labels.push_back(label);
      }
    }
    ClassScores<T> of_classes(p, labels);
    for (size_t l = 0; l < labels.size(); ++l) {
      const auto* scores = of_classes.of(l, chunks);
      for (; begin < last && p.labels[*begin] == labels[l]; ++begin) {
        const auto box = load_box(static_cast<const T*>(p.boxes), *begin);
        write_voted<T>(p, *begin, voters.votes_for(box, scores, chunks));
      }
    }
  }
}

struct ScoreVotingCpu {
  static void run(const VotingCall& call) {
    const VotingParams& p = call.params;
    for (int64_t k = 0; k < p.kept; ++k) {
      check(p.labels[k] >= 0 && p.labels[k] < p.classes, "labels should be in 0..", p.classes - 1, ", got ",
            p.labels[k], " at row ", k);
    }
    std::vector<int64_t> by_label(p.kept);
    std::iota(by_label.begin(), by_label.end(), 0);
    std::sort(by_label.begin(), by_label.end(), [&](int64_t a, int64_t b) { return p.labels[a] < p.labels[b]; });
    dispatch_floating(call.dtype, [&]<typename T>() {
      const Voters<T> voters(p);
      torch::stable::parallel_for(0, p.kept, kVotesAThread / (p.all + 1) + 1, [&](int64_t begin, int64_t end) {
        vote(p, voters, by_label.data() + begin, by_label.data() + end);
      });
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("score_voting", COLAD_BOX(&colad::score_voting_op<colad::ScoreVotingCpu>));
}
