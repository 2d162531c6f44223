// The order in which suppression visits boxes on the CPU: by descending score, and then by group. A group is the boxes
// of one image and one label.
#pragma once

#include <bit>
#include <numeric>

#include "common/check.h"
#include "common/dispatch.h"
#include "ops/nms/radix_sort.h"

namespace colad {

// Keys that ascend as scores descend, in the order of torch's sort: NaN is the highest score, -0 equals 0.
inline uint32_t key_of_score(float score) {
  constexpr uint32_t kSign = uint32_t(1) << 31;
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);
  return score != score ? 0 : ((bits & kSign) != 0 ? bits : ~(bits | kSign));
}

inline uint64_t key_of_score(double score) {
  constexpr uint64_t kSign = uint64_t(1) << 63;
  const uint64_t bits = std::bit_cast<uint64_t>(score + 0.0);
  return score != score ? 0 : ((bits & kSign) != 0 ? bits : ~(bits | kSign));
}

inline uint64_t key_of_score(int64_t score) { return ~(static_cast<uint64_t>(score) ^ (uint64_t(1) << 63)); }
inline uint64_t key_of_score(uint64_t score) { return ~score; }

// Calls visit<T, V>(): scores of type T are sorted as values of type V. The type has passed check_scores.
template <typename Visit>
void dispatch_scores(ScalarType type, Visit visit) {
  switch (type) {
    case ScalarType::Bool:
    case ScalarType::Byte:
      return visit.template operator()<uint8_t, int64_t>();
    case ScalarType::Char:
      return visit.template operator()<int8_t, int64_t>();
    case ScalarType::Short:
      return visit.template operator()<int16_t, int64_t>();
    case ScalarType::Int:
      return visit.template operator()<int32_t, int64_t>();
    case ScalarType::Long:
      return visit.template operator()<int64_t, int64_t>();
    case ScalarType::UInt16:
      return visit.template operator()<uint16_t, int64_t>();
    case ScalarType::UInt32:
      return visit.template operator()<uint32_t, int64_t>();
    case ScalarType::UInt64:
      return visit.template operator()<uint64_t, uint64_t>();
    default:
      return dispatch_floating(type, [&]<typename T>() { visit.template operator()<T, compute_t<T>>(); });
  }
}

inline void check_scores(const Tensor& scores, const char* name) {
  const ScalarType type = scores.scalar_type();
  check(is_floating(type) || type == ScalarType::Bool || type == ScalarType::Byte || type == ScalarType::Char ||
            type == ScalarType::Short || type == ScalarType::Int || type == ScalarType::Long ||
            type == ScalarType::UInt16 || type == ScalarType::UInt32 || type == ScalarType::UInt64,
        name, " should be float32, float64, float16, bfloat16, bool or integers, got ", dtype_of(scores));
}

// Rows by descending score; ties by the lower row.
inline std::vector<uint32_t> rows_by_score(const void* scores, ScalarType type, int64_t count) {
  std::vector<uint32_t> rows(count);
  dispatch_scores(type, [&]<typename T, typename V>() {
    std::vector<KeyedRow<decltype(key_of_score(V()))>> keyed(count), spare;
    for (int64_t i = 0; i < count; ++i) {
      const V score = static_cast<V>(static_cast<const T*>(scores)[i]);
      keyed[i] = {key_of_score(score), static_cast<uint32_t>(i)};
    }
    sort_by_key(keyed, spare);
    for (int64_t i = 0; i < count; ++i) {
      rows[i] = keyed[i].row;
    }
  });
  return rows;
}

// Places in an order of boxes, group by group. Within a group they ascend.
struct BoxGroups {
  std::vector<uint32_t> places;
  std::vector<int64_t> begins;  // of each group in `places`, and their number

  int64_t count() const { return static_cast<int64_t>(begins.size()) - 1; }
};

namespace grouping {

// Sorts `places` by the identifier of each place, 0..identifiers-1; equal ones keep their order.
template <typename IdentifierOf>
void sort_by_identifier(std::vector<uint32_t>& places, int64_t identifiers, IdentifierOf identifier_of) {
  std::vector<uint32_t> next(identifiers), sorted(places.size());
  for (const uint32_t place : places) {
    ++next[identifier_of(place)];
  }
  std::exclusive_scan(next.begin(), next.end(), next.begin(), uint32_t(0));
  for (const uint32_t place : places) {
    sorted[next[identifier_of(place)]++] = place;
  }
  places.swap(sorted);
}

inline void sort_by_label(std::vector<uint32_t>& places, const std::vector<uint32_t>& rows, const int64_t* labels) {
  if (places.empty()) {
    return;
  }
  const auto [low, high] = std::minmax_element(labels, labels + rows.size());
  const int64_t least = *low;
  const uint64_t range = static_cast<uint64_t>(*high) - static_cast<uint64_t>(least);
  constexpr uint64_t kUsualRange = 1024;  // more labels than rows are counted too if they are few
  if (range == 0) {
    return;
  }
  if (range < std::max<uint64_t>(kUsualRange, rows.size())) {
    sort_by_identifier(places, static_cast<int64_t>(range) + 1, [&](uint32_t p) { return labels[rows[p]] - least; });
    return;
  }
  std::vector<KeyedRow<uint64_t>> keyed(places.size()), spare;
  for (size_t i = 0; i < places.size(); ++i) {
    keyed[i] = {static_cast<uint64_t>(labels[rows[places[i]]]) - static_cast<uint64_t>(least), places[i]};
  }
  sort_by_key(keyed, spare);
  std::transform(keyed.begin(), keyed.end(), places.begin(), [](const auto& k) { return k.row; });
}

}  // namespace grouping

// The groups of the rows in the order `rows`. The offsets of the images ascend from 0 to the number of rows; they may
// be null for a single image.
inline BoxGroups group_boxes(const std::vector<uint32_t>& rows, const int64_t* labels, const int64_t* offsets,
                             int64_t images) {
  const size_t count = rows.size();
  BoxGroups groups{std::vector<uint32_t>(count), {}};
  std::iota(groups.places.begin(), groups.places.end(), 0);
  grouping::sort_by_label(groups.places, rows, labels);
  std::vector<uint32_t> image_of_row;
  if (offsets != nullptr && images > 1) {
    image_of_row.resize(count);
    for (int64_t image = 0; image < images; ++image) {
      std::fill(image_of_row.begin() + offsets[image], image_of_row.begin() + offsets[image + 1],
                static_cast<uint32_t>(image));
    }
    grouping::sort_by_identifier(groups.places, images, [&](uint32_t p) { return image_of_row[rows[p]]; });
  }
  const auto differ = [&](uint32_t a, uint32_t b) {
    return labels[rows[a]] != labels[rows[b]] ||
           (!image_of_row.empty() && image_of_row[rows[a]] != image_of_row[rows[b]]);
  };
  for (size_t i = 0; i < count; ++i) {
    if (i == 0 || differ(groups.places[i - 1], groups.places[i])) {
      groups.begins.push_back(static_cast<int64_t>(i));
    }
  }
  groups.begins.push_back(static_cast<int64_t>(count));
  return groups;
}

}  // namespace colad
