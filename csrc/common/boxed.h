// Registration of operators: COLAD_BOX(&function) is TORCH_BOX for functions that also take std::string_view and
// structs of options. It hands the arguments on without copying them; TORCH_BOX copies every list.
//
// torch passes a str as a handle, and the operator owns that handle. The conversion to std::string in torch's headers
// up to 2.13 leaks 48 bytes at every call (pytorch/pytorch#191340). OwnedString below reads and frees the handle
// instead.
//
// A struct of options stands for several arguments of the schema. One function checks the options and makes the struct;
// each of its parameters is one argument, in the same order.
#pragma once

#include <torch/csrc/stable/library.h>

#include <array>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace colad {

// The function that makes a struct of options. An operator with options specialises this variable:
//   template <>
//   inline constexpr auto kMakeOptions<MatchOptions> = &match_options;
template <typename Options>
constexpr auto kMakeOptions = nullptr;

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

namespace boxing {

// Lists of types are written as tuples.
template <typename... Lists>
using Joined = decltype(std::tuple_cat(std::declval<Lists>()...));

// The value of an argument on torch's stack. The caller owns it.
template <typename Held>
auto unboxed(StableIValue value) {
  if constexpr (std::is_same_v<Held, OwnedString>) {
    return torch::stable::detail::to<StringHandle>(value);
  } else {
    return torch::stable::detail::to<Held>(value);
  }
}

// One parameter of a function, and the arguments of the schema that it stands for. `Held`: their types as they are kept
// until the function returns.
template <typename P, typename Make = std::remove_const_t<decltype(kMakeOptions<std::remove_cvref_t<P>>)>>
struct Parameter;

template <typename P>
struct Parameter<P, std::nullptr_t> {
  static constexpr bool kIsString = std::is_same_v<P, std::string_view>;
  using Held = std::tuple<std::conditional_t<kIsString, OwnedString, std::remove_cvref_t<P>>>;
  static constexpr size_t kCount = 1;

  template <size_t kFirst, typename Arguments>
  static decltype(auto) receive(Arguments& arguments) {
    if constexpr (kIsString) {
      return std::string_view(std::get<kFirst>(arguments));
    } else {
      return static_cast<P&&>(std::get<kFirst>(arguments));
    }
  }
};

// All parameters of a function, in order.
template <typename... P>
struct Parameters {
  using Held = Joined<typename Parameter<P>::Held...>;
  static constexpr size_t kCount = (Parameter<P>::kCount + ... + 0);

  // Calls `function` with the arguments from kFirst on.
  template <size_t kFirst, typename Function, typename Arguments>
  static decltype(auto) call(Function function, Arguments& arguments) {
    return [&]<size_t... I>(std::index_sequence<I...>) -> decltype(auto) {
      return function(Parameter<P>::template receive<kFirst + kOffset[I]>(arguments)...);
    }(std::index_sequence_for<P...>{});
  }

 private:
  static constexpr std::array<size_t, sizeof...(P) + 1> kOffset = [] {
    std::array<size_t, sizeof...(P) + 1> offset{};
    size_t i = 0;
    ((offset[i + 1] = offset[i] + Parameter<P>::kCount, ++i), ...);
    return offset;
  }();
};

template <typename P, typename Options, typename... Option>
struct Parameter<P, Options (*)(Option...)> {
  using Held = typename Parameters<Option...>::Held;
  static constexpr size_t kCount = Parameters<Option...>::kCount;

  template <size_t kFirst, typename Arguments>
  static Options receive(Arguments& arguments) {
    return Parameters<Option...>::template call<kFirst>(kMakeOptions<Options>, arguments);
  }
};

inline void return_to(StableIValue* stack, const torch::stable::Tensor& result) {
  stack[0] = torch::stable::detail::from(result);
}

inline void return_to(StableIValue* stack, const std::vector<torch::stable::Tensor>& results) {
  stack[0] = torch::stable::detail::from(results);
}

template <typename... R>
void return_to(StableIValue* stack, const std::tuple<R...>& results) {
  std::apply([&](const R&... result) { ((*stack++ = torch::stable::detail::from(result)), ...); }, results);
}

template <typename R>
constexpr size_t kOutputs = 1;

template <typename... R>
constexpr size_t kOutputs<std::tuple<R...>> = sizeof...(R);

template <>
inline constexpr size_t kOutputs<void> = 0;

template <auto kFunction, typename Signature = std::remove_pointer_t<decltype(kFunction)>>
struct Function;

template <auto kFunction, typename R, typename... P>
struct Function<kFunction, R(P...)> {
  using All = Parameters<P...>;

  // A kernel as torch calls it: it takes the arguments from the stack, which it then owns, and leaves the results
  // there.
  static void boxed(StableIValue* stack, uint64_t inputs, uint64_t outputs) {
    STD_TORCH_CHECK(inputs == All::kCount && outputs == kOutputs<R>, "the schema has ", inputs, " arguments and ",
                    outputs, " results, and the function ", All::kCount, " and ", kOutputs<R>);
    if constexpr (std::is_void_v<R>) {
      call(stack, std::make_index_sequence<All::kCount>{});
    } else {
      return_to(stack, call(stack, std::make_index_sequence<All::kCount>{}));
    }
  }

 private:
  template <size_t... I>
  static R call(StableIValue* stack, std::index_sequence<I...>) {
    using Held = typename All::Held;
    Held arguments(unboxed<std::tuple_element_t<I, Held>>(stack[I])...);
    return All::template call<0>(kFunction, arguments);
  }
};

}  // namespace boxing

}  // namespace colad

#define COLAD_BOX(function) (&colad::boxing::Function<function>::boxed)
