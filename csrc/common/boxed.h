// Registration of operators: COLAD_BOX(&function), as TORCH_BOX, for functions that take std::string_view.
//
// What torch hands over as a str is a handle that the operator owns. The conversion to std::string in torch's headers
// up to 2.13 leaves 48 bytes behind at every call (pytorch/pytorch#191340), so handles are read here.
#pragma once

#include <torch/csrc/stable/library.h>

#include <string_view>

namespace colad {

class OwnedString {
 public:
  explicit OwnedString(StringHandle handle) : handle_(handle) {}
  OwnedString(const OwnedString&) = delete;
  ~OwnedString() { torch_delete_string(handle_); }

  operator std::string_view() const {
    const char* data = nullptr;
    size_t length = 0;
    STABLE_TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle_, &data));
    STABLE_TORCH_ERROR_CODE_CHECK(torch_string_length(handle_, &length));
    return {data, length};
  }

 private:
  StringHandle handle_;
};

// An argument of type A as torch hands it over, and as the function receives it.
template <typename A>
struct Argument {
  using Boxed = A;
  static A&& receive(std::remove_reference_t<A>& value) { return static_cast<A&&>(value); }
};

template <>
struct Argument<std::string_view> {
  using Boxed = StringHandle;
  static OwnedString receive(StringHandle handle) { return OwnedString(handle); }
};

template <auto kFunction>
struct BoxedFunction;

template <typename R, typename... A, R (*kFunction)(A...)>
struct BoxedFunction<kFunction> {
  static R call(typename Argument<A>::Boxed... arguments) { return kFunction(Argument<A>::receive(arguments)...); }
};

}  // namespace colad

#define COLAD_BOX(function) TORCH_BOX((&colad::BoxedFunction<function>::call))
