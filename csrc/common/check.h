// Checks whose message is a sentence that names the Python argument and the value got. They throw std::runtime_error,
// which reaches Python as RuntimeError, before anything is allocated or written.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/host_device.h"

namespace colad {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// A list of sizes that the caller owns. A call can write it in braces; nothing is allocated.
using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;

template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::runtime_error(message.str());
}

template <typename... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) {
    fail(parts...);
  }
}

template <typename T>
struct Choice {
  const char* name;
  T value;
};

// The value of the choice that `chosen` names.
template <typename T, size_t n>
T choice(std::string_view chosen, const char* name, const Choice<T> (&choices)[n]) {
  std::string names;
  for (size_t i = 0; i < n; ++i) {
    if (chosen == choices[i].name) {
      return choices[i].value;
    }
    names += i == 0 ? "" : (i + 1 < n ? ", " : " or ");
    names += choices[i].name;
  }
  fail(name, " should be ", names, ", got ", chosen);
}

// Parts of messages. They read the tensor only when a check fails and writes its message: most calls pass all checks,
// and a small call would spend much of its time here.
struct ShapeOf {
  const Tensor& tensor;
};

inline ShapeOf shape_of(const Tensor& tensor) { return {tensor}; }

inline std::ostream& operator<<(std::ostream& out, ShapeOf shape) {
  out << "(";
  for (int64_t d = 0; d < shape.tensor.dim(); ++d) {
    out << (d ? ", " : "") << shape.tensor.size(d);
  }
  return out << (shape.tensor.dim() == 1 ? ",)" : ")");
}

inline const char* dtype_name(ScalarType type) { return torch::headeronly::toString(type); }

struct DtypeOf {
  const Tensor& tensor;
};

inline DtypeOf dtype_of(const Tensor& tensor) { return {tensor}; }

inline std::ostream& operator<<(std::ostream& out, DtypeOf dtype) {
  return out << dtype_name(dtype.tensor.scalar_type());
}

// Part of a message. It reads the tensor only where the message is written.
struct DeviceOf {
  const Tensor& tensor;
};

inline DeviceOf device_of(const Tensor& tensor) { return {tensor}; }

inline std::ostream& operator<<(std::ostream& out, DeviceOf device) {
  if (device.tensor.is_cuda()) {
    return out << "cuda:" << device.tensor.get_device_index();
  }
  return out << (device.tensor.is_cpu() ? "cpu" : "another kind of device");
}

inline bool is_floating(ScalarType type) {
  return type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::Half ||
         type == ScalarType::BFloat16;
}

// If Python passes None for an argument that is not optional, the tensor is undefined and its sizes have no meaning.
inline void check_given(const Tensor& tensor, const char* name) {
  check(tensor.defined(), name, " should be a tensor, got None");
}

// NaN compares false with everything. Without this check a NaN option would be accepted and have no effect.
inline void check_number(double value, const char* name) {
  check(value == value, name, " should be a number, got ", value);
}

inline void check_finite(double value, const char* name) {
  check(is_finite(value), name, " should be finite, got ", value);
}

inline void check_floating(const Tensor& tensor, const char* name) {
  check_given(tensor, name);
  check(is_floating(tensor.scalar_type()), name, " should be float32, float64, float16 or bfloat16, got ",
        dtype_of(tensor));
}

inline void check_dtype(const Tensor& tensor, const char* name, ScalarType type) {
  check_given(tensor, name);
  check(tensor.scalar_type() == type, name, " should have dtype ", dtype_name(type), ", got ", dtype_of(tensor));
}

inline void check_same_dtype(const Tensor& tensor, const char* name, const Tensor& other, const char* other_name) {
  check(tensor.scalar_type() == other.scalar_type(), name, " and ", other_name, " should have the same dtype, got ",
        dtype_of(tensor), " and ", dtype_of(other));
}

inline void check_same_device(const Tensor& tensor, const char* name, const Tensor& other, const char* other_name) {
  check(tensor.is_cuda() == other.is_cuda() && tensor.is_cpu() == other.is_cpu() &&
            tensor.get_device_index() == other.get_device_index(),
        name, " and ", other_name, " should be on the same device, got ", device_of(tensor), " and ", device_of(other));
}

// A size of -1 in `expected` accepts any size. `shape` is the expected shape as the message writes it, e.g. "(G, 4)".
inline void check_shape(const Tensor& tensor, const char* name, Sizes expected, const char* shape) {
  check_given(tensor, name);
  const Sizes sizes = tensor.sizes();
  bool same = sizes.size() == expected.size();
  for (size_t d = 0; same && d < expected.size(); ++d) {
    same = expected[d] < 0 || sizes[d] == expected[d];
  }
  check(same, name, " should have shape ", shape, ", got ", shape_of(tensor));
}

// Ragged offsets of `rows`: (segments + 1,) int64, on the device of `other`. Returns the number of segments.
inline int64_t check_offsets(const Tensor& offsets, const char* name, int64_t rows, const Tensor& other,
                             const char* other_name) {
  check_dtype(offsets, name, ScalarType::Long);
  check(offsets.dim() == 1 && offsets.size(0) >= 1, name, " should have shape (segments + 1,), got ",
        shape_of(offsets));
  check_same_device(offsets, name, other, other_name);
  check(offsets.size(0) > 1 || rows == 0, name, " should end at the number of rows ", rows, ", got no segment");
  return offsets.size(0) - 1;
}

// Checks the values of the offsets. CPU only: on CUDA, reading them would synchronise with the device. There the
// kernels clamp them.
inline void check_offsets_ascend(const int64_t* offsets, int64_t segments, int64_t rows, const char* name) {
  check(offsets[0] == 0, name, "[0] should be 0, got ", offsets[0]);
  for (int64_t i = 0; i < segments; ++i) {
    check(offsets[i] <= offsets[i + 1], name, " should ascend, got ", offsets[i], " then ", offsets[i + 1], " at row ",
          i + 1);
  }
  check(offsets[segments] == rows, name, " should end at the number of rows ", rows, ", got ", offsets[segments]);
}

}  // namespace colad
