// The formula headers for NumPy: what the operators compute of one element, without torch. Tests only.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "common/elementary.h"
#include "fast_formulas.h"
#include "ops/assign_cost/assign_cost_math.h"
#include "ops/decode_boxes/decode_boxes_math.h"
#include "ops/focal_kl/focal_kl_math.h"
#include "ops/gmm_em/gmm_em_lanes.h"
#include "ops/iou/iou_backward_math.h"
#include "ops/match_anchors/match_anchors_math.h"
#include "ops/nms/nms_math.h"
#include "ops/score_voting/score_voting_math.h"
#include "ops/split_candidates/split_candidates_math.h"

namespace py = pybind11;
using namespace colad;

namespace {

template <typename T>
FocalKlSide<T> kl_side(T student, T teacher, bool teacher_is_logit) {
  return teacher_is_logit ? side_of_logit(student, teacher) : side_of_probability(student, teacher);
}

// Coordinate k of a box (or of its derivative).
template <typename T>
T coordinate(const Box<T>& box, int k) {
  return k == 0 ? box.x1 : k == 1 ? box.y1 : k == 2 ? box.x2 : box.y2;
}

template <typename T>
void define_of_type(py::module_ m) {
  m.def("exp_nonpositive", py::vectorize([](T x) { return exp_nonpositive(x); }));
  m.def("exp_normal", py::vectorize([](T x) { return exp_normal(x); }));
  m.def("log1p_unit", py::vectorize([](T x) { return log1p_unit(x); }));
  m.def("log_positive", py::vectorize([](T x) { return log_positive(x); }));
  m.def("log_ratio", py::vectorize([](T w) { return log_ratio(w); }));
  m.def("softplus", py::vectorize([](T x) { return logistic(x).softplus; }));
  m.def("sigmoid", py::vectorize([](T x) { return logistic(x).sigmoid; }));

  m.def("box_iou", py::vectorize([](T ax1, T ay1, T ax2, T ay2, T bx1, T by1, T bx2, T by2, int mode) {
          return box_iou(Box<T>{ax1, ay1, ax2, ay2}, Box<T>{bx1, by1, bx2, by2}, static_cast<IouMode>(mode));
        }));
  // d box_iou / d coordinate k, 0..3 of the first box and 4..7 of the second.
  m.def("box_iou_derivative",
        py::vectorize([](T ax1, T ay1, T ax2, T ay2, T bx1, T by1, T bx2, T by2, int mode, int k) {
          Box<T> da{}, db{};
          box_iou_backward(Box<T>{ax1, ay1, ax2, ay2}, Box<T>{bx1, by1, bx2, by2}, static_cast<IouMode>(mode), T(1), da,
                           db);
          return k < 4 ? coordinate(da, k) : coordinate(db, k - 4);
        }));
  // Coordinate k of the decoded box.
  m.def("decode_box", py::vectorize([](T x1, T y1, T x2, T y2, T dx, T dy, T dw, T dh, T std, T limit, int k) {
          return coordinate(decode_box(centred(Box<T>{x1, y1, x2, y2}), BoxDeltas<T>{dx, dy, dw, dh},
                                       DecodeOptions<T>{std, std, std, std, limit}),
                            k);
        }));
  m.def("suppresses", py::vectorize([](T ax1, T ay1, T ax2, T ay2, T bx1, T by1, T bx2, T by2, double threshold) {
          return suppresses(Box<T>{ax1, ay1, ax2, ay2}, Box<T>{bx1, by1, bx2, by2}, threshold);
        }));
  m.def("ties_best", py::vectorize([](T iou, T best, bool claim_zero) { return ties_best(iou, best, claim_zero); }));
  m.def("resolve_match", py::vectorize([](T iou, int64_t row, int64_t claimed, T threshold, int low_quality) {
          return resolve_match(BestObject<T>{iou, row}, claimed, threshold, static_cast<LowQuality>(low_quality));
        }));

  m.def("vote_weight", py::vectorize([](T ax1, T ay1, T ax2, T ay2, T bx1, T by1, T bx2, T by2, T score, double sigma,
                                        double iou_threshold, double score_threshold) {
          return vote_weight(Box<T>{ax1, ay1, ax2, ay2}, Box<T>{bx1, by1, bx2, by2}, score,
                             VotingOptions{sigma, iou_threshold, score_threshold});
        }));
  // The box that votes (rows x1 y1 x2 y2 weight) make of `box`.
  m.def("voted_box", [](std::array<T, 4> box, const std::vector<std::array<T, 5>>& votes) {
    VoteSums<T> sums{};
    for (const auto& v : votes) {
      add_vote(sums, Box<T>{v[0], v[1], v[2], v[3]}, v[4]);
    }
    const Box<T> voted = voted_box(sums, Box<T>{box[0], box[1], box[2], box[3]});
    return std::array<T, 4>{voted.x1, voted.y1, voted.x2, voted.y2};
  });

  m.def("focal_loss", py::vectorize([](T logit, bool target, T alpha, T gamma) {
          return focal_loss(logit, target, FocalOptions<T>{alpha, gamma});
        }));
  m.def("focal_loss_derivative", py::vectorize([](T logit, bool target, T alpha, T gamma) {
          return focal_loss_derivative(logit, target, FocalOptions<T>{alpha, gamma});
        }));
  m.def("focal_loss_of_probability", py::vectorize([](T probability, bool target, T alpha, T gamma) {
          return focal_loss_of_probability(probability, target, FocalOptions<T>{alpha, gamma});
        }));

  m.def("focal_kl_loss", py::vectorize([](T student, T teacher, bool teacher_is_logit, T gamma, T smooth) {
          return focal_kl_loss(kl_side(student, teacher, teacher_is_logit), FocalKlOptions<T>{gamma, smooth});
        }));
  m.def("focal_kl_derivative", py::vectorize([](T student, T teacher, bool teacher_is_logit, T gamma, T smooth) {
          return focal_kl_derivative(kl_side(student, teacher, teacher_is_logit), FocalKlOptions<T>{gamma, smooth});
        }));
}

// (weights, means, variances, n_iter, converged) of the mixture of `values`.
py::tuple fit(const std::vector<double>& values, bool tied, int64_t max_iter, double tol, double reg_covar) {
  FitBuffer buffer;
  buffer.resize(static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), buffer.value());
  const MixtureOptions options{tied ? Covariance::tied : Covariance::full, max_iter, tol, reg_covar};
  const EmResult result = fit_mixture(buffer, options);
  const auto pair = [](const double* v) { return std::array<double, 2>{v[0], v[1]}; };
  return py::make_tuple(pair(result.mixture.weight), pair(result.mixture.mean), pair(result.mixture.variance),
                        result.n_iter, result.converged);
}

void define_mixture(py::module_ m) {
  m.def("fit_mixture", &fit, py::arg("values"), py::arg("tied") = false, py::arg("max_iter") = 100,
        py::arg("tol") = 1e-3, py::arg("reg_covar") = 1e-6);
  // (responsibility of component 0, log-likelihood, label) of one value.
  m.def("score_value",
        [](double x, std::array<double, 2> weight, std::array<double, 2> mean, std::array<double, 2> variance) {
          const Mixture mixture{{weight[0], weight[1]}, {mean[0], mean[1]}, {variance[0], variance[1]}};
          const ValueScore score = score_value(x, mixture_terms(mixture));
          return py::make_tuple(score.responsibility[0], score.log_likelihood, score.label);
        });
}

void define_assignment(py::module_ m) {
  m.def("sample_key", py::vectorize([](float cost, int64_t anchor) { return sample_key(cost, anchor); }));
  m.def("sample_cost", py::vectorize([](uint64_t key) { return sample_cost(key); }));
  m.def("sample_anchor", py::vectorize([](uint64_t key) { return sample_anchor(key); }));
  m.def("mean_of", py::vectorize([](double sum, int64_t count) { return mean_of(sum, count); }));
  m.def("std_of", py::vectorize([](double squares, int64_t count) { return std_of(squares, count); }));

  // Position of the peak among samples (log-likelihood, label), visited in the given order.
  m.def("first_peak", [](const std::vector<double>& log_likelihood, const std::vector<int>& label,
                         const std::vector<int64_t>& order) {
    Peak peak{0.0, -1};
    for (int64_t i : order) {
      peak = better_peak(peak, {log_likelihood[i], label[i] == 0 ? i : -1});
    }
    return peak.position;
  });
  // 0 background, 1 positive, 2 ignored.
  m.def("fate_of", [](int64_t position, int label, int64_t count, int64_t peak, int split, bool keep_single,
                      bool keep_without_component0, bool prefix) {
    const SplitOptions options{.topk = 9,
                               .mixture = {},
                               .split = static_cast<Split>(split),
                               .single_candidate = keep_single ? SingleCandidate::keep : SingleCandidate::drop,
                               .no_component0 = keep_without_component0 ? NoComponent0::all : NoComponent0::none,
                               .prefix = prefix};
    return static_cast<int>(fate_of(position, label, SplitPlan{count, peak}, options));
  });
  m.def("assign_cost", [](const std::vector<float>& classes, int64_t label, std::array<float, 4> box,
                          std::array<float, 4> gt, float alpha, float gamma, float box_weight, int mode, bool probs) {
    const CostOptions options{{{alpha, gamma}, static_cast<IouMode>(mode), box_weight}, probs};
    float cost = 0.0f;
    for (size_t c = 0; c < classes.size(); ++c) {
      const bool target = static_cast<int64_t>(c) == label;
      cost += probs ? focal_loss_of_probability(classes[c], target, options.focal)
                    : focal_loss(classes[c], target, options.focal);
    }
    return cost + box_cost(Box<float>{box[0], box[1], box[2], box[3]}, Box<float>{gt[0], gt[1], gt[2], gt[3]}, options);
  });
}

}  // namespace

PYBIND11_MODULE(colad_formulas, m) {
  define_of_type<float>(m.def_submodule("float32"));
  define_of_type<double>(m.def_submodule("float64"));
  define_fast_formulas(m.def_submodule("fast"));
  define_mixture(m);
  define_assignment(m);
}
