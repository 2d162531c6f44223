// The losses' formulas of the CUDA kernels for NumPy, with the largest errors that a GPU may have. Tests only.
#pragma once

#include <pybind11/numpy.h>

#include "ops/focal_kl/focal_kl_fast_math.h"
#include "ops/focal_loss/focal_loss_fast_math.h"

namespace colad {

// The functions of approximate.h, each with its largest error. `signs` chooses the signs of the errors: from 0 to 15
// one for each function, from 16 on they depend on the argument.
struct WithErrors {
  static inline int signs = 0;

  static double error(int function, float x, double bound) {
    if (signs < 16) {
      return (signs >> function & 1) != 0 ? bound : -bound;
    }
    uint32_t hash = (std::bit_cast<uint32_t>(x) ^ (40503u * signs + 9777u * function)) * 2654435761u;
    hash = (hash ^ hash >> 15) * 2246822519u;
    return (hash >> 13 & 1) != 0 ? bound : -bound;
  }
  static float relative(double exact, int function, float x, double bound) {
    return Approximate::without_subnormals(exact * (1 + error(function, x, bound)));
  }

  static float exp2(float x) {
    return x == 0 ? 1 : relative(std::exp2(double(x)), 0, x, Approximate::kExp2Error);  // 1 by definition of PTX
  }
  static float reciprocal(float x) {
    return relative(1.0 / Approximate::without_subnormals(x), 1, x, Approximate::kReciprocalError);
  }
  static float root(float x) {
    return relative(std::sqrt(double(Approximate::without_subnormals(x))), 2, x, Approximate::kRootError);
  }
  static float log2(float x) {
    const double exact = std::log2(double(Approximate::without_subnormals(x)));
    return x >= 0.5f && x <= 2.0f ? static_cast<float>(exact + error(3, x, Approximate::kLog2Error))
                                  : relative(exact, 3, x, Approximate::kLog2Error);
  }
};

template <typename Math>
LossPair<float> fast_focal_kl(float student, float teacher, bool teacher_is_logit, float gamma, float smooth) {
  using Formula = FastFocalKl<Math>;
  const auto side =
      teacher_is_logit ? Formula::side_of_logit(student, teacher) : Formula::side_of_probability(student, teacher);
  return Formula::of_terms(Formula::terms(side), gamma, smooth);
}

template <typename Math>
LossPair<float> fast_focal_loss(float logit, bool target, float alpha, float gamma) {
  using Formula = FastFocalLoss<Math>;
  return Formula::of_side(Formula::side_of_class(logit, target), FocalOptions<float>(alpha, gamma));
}

template <typename Math>
void define_fast_math(pybind11::module_ m) {
  using pybind11::vectorize;
  m.def("exp_nonpositive", vectorize([](float x) { return Math::exp_nonpositive(x); }));
  m.def("reciprocal", vectorize([](float x) { return Math::reciprocal(x); }));
  m.def("log_ratio", vectorize([](float w) { return Math::log_ratio_plus(w, 0.0f); }));
  m.def("log_positive", vectorize([](float x) { return Math::log_positive(x); }));
  m.def("root", vectorize([](float x) { return Math::root(x); }));
  m.def("power", vectorize([](float x, float y) { return Math::power(x, y); }));
  m.def("focal_kl_loss", vectorize([](float student, float teacher, bool is_logit, float gamma, float smooth) {
          return fast_focal_kl<Math>(student, teacher, is_logit, gamma, smooth).loss;
        }));
  m.def("focal_kl_derivative", vectorize([](float student, float teacher, bool is_logit, float gamma, float smooth) {
          return fast_focal_kl<Math>(student, teacher, is_logit, gamma, smooth).derivative;
        }));
  m.def("focal_loss", vectorize([](float logit, bool target, float alpha, float gamma) {
          return fast_focal_loss<Math>(logit, target, alpha, gamma).loss;
        }));
  m.def("focal_loss_derivative", vectorize([](float logit, bool target, float alpha, float gamma) {
          return fast_focal_loss<Math>(logit, target, alpha, gamma).derivative;
        }));
}

// Submodules `single` and `half`, and set_signs(number) of the errors.
inline void define_fast_formulas(pybind11::module_ m) {
  define_fast_math<SingleMath<WithErrors>>(m.def_submodule("single"));
  define_fast_math<HalfMath<WithErrors>>(m.def_submodule("half"));
  m.def("set_signs", [](int signs) { WithErrors::signs = signs; });
}

}  // namespace colad
