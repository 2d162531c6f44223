// Implementation of match_anchors on the CPU, for one image. It is in this header because paa_assign calls it too;
// match_anchors_cpu.cpp only walks the images.
//
// The loops go over blocks of anchors and, for each block, over the objects that reach it. The IoU of an anchor with
// any other object is 0.
//
// NaN covers most special cases: an IoU of NaN is never larger than another IoU and never ties one. An anchor that is
// not valid gets the area NaN. Objects whose area is NaN are left out. So if an IoU is NaN, the anchor is the reason.
#pragma once

#include <bit>

#include "ops/match_anchors/image_objects.h"

namespace colad {

// The anchors of a call, read by every thread.
template <typename T>
struct MatchAnchors {
  using C = compute_t<T>;
  BoxBlocks<C> blocks;

  explicit MatchAnchors(const MatchParams& p)
      : blocks(
            p.anchor_count, [p](int64_t i) { return match_box<T>(p, p.anchors, i); },
            p.valid_stride_image == 0 ? p.valid : nullptr) {}
};

// Memory of one thread, reused for image after image. Its size grows with A + the objects of an image.
template <typename T>
struct MatchScratch {
  using C = compute_t<T>;
  MatchObjects<C> objects;
  std::vector<C> area;         // of the image's anchors, NaN where they are not valid
  std::vector<bits_t<C>> own;  // the row of each anchor's own best object, -1 if it has none
};

namespace match_anchors_cpu {

// Pointers and sizes that the loops over the anchors of an image capture by value.
template <typename T>
struct ImageView {
  using C = compute_t<T>;
  using Object = typename MatchObjects<C>::Object;
  BoxBlocksView<C> anchors;  // `area` may point to MatchScratch::area
  Object* objects;
  int64_t object_count, tests;
  const C *x1, *y1, *x2, *y2;
  const uint32_t* everywhere;
  bits_t<C>* own;  // may be null
  int64_t first_row;
  int64_t* matched;
  T* iou;  // may be null

  // Both passes evaluate this expression, so that a tie is exact.
  C iou_with(const Object& object, int64_t anchor) const {
    return iou_of<MayBeNan::second>(object.box, object.area, anchors.box(anchor), anchors.area[anchor]);
  }

  int64_t end_of_block(int64_t block) const {
    const int64_t end = (block + 1) * kBlockBoxes;
    return end < anchors.count ? end : anchors.count;
  }

  // The mask of the objects of one test that a block has to meet; the box `around` encloses the anchors of the block.
  uint32_t reaching(int64_t test, const Box<C>& around) const {
    uint32_t bits = everywhere[test];
    for (int64_t k = 0; k < kTestedObjects; ++k) {
      const int64_t i = test * kTestedObjects + k;
      bits |= reaches({x1[i], y1[i], x2[i], y2[i]}, around) ? 1u << k : 0u;
    }
    return bits;
  }
};

// Finds every anchor's best object and every object's best IoU.
template <typename T>
void first_pass(const ImageView<T> v, compute_t<T> threshold) {
  using C = compute_t<T>;
  using Bits = bits_t<C>;
  for (int64_t block = 0; block < v.anchors.blocks; ++block) {
    const int64_t begin = block * kBlockBoxes, end = v.end_of_block(block);
    C best[kBlockBoxes];
    Bits row[kBlockBoxes];
    for (int64_t k = 0; k < kBlockBoxes; ++k) {
      best[k] = C(-1), row[k] = -1;
    }
    const Box<C> around = v.anchors.around(block);
    for (int64_t test = 0; test < v.tests; ++test) {
      for (uint32_t left = v.reaching(test, around); left != 0; left &= left - 1) {
        auto& object = v.objects[test * kTestedObjects + std::countr_zero(left)];
        const typename MatchObjects<C>::Object gt = object;
        // The object's largest IoU in the block, as bits. Numbers >= 0 compare like their bits, and the maximum of
        // integers does not depend on the order.
        Bits top = 0;
        for (int64_t k = 0; k < kBlockBoxes; ++k) {
          const C iou = v.iou_with(gt, begin + k);
          const Bits taken = iou > best[k] ? gt.row : -1;
          // Rows ascend, so the maximum is the row taken last. gcc makes a plain choice a branch around the store.
          row[k] = taken > row[k] ? taken : row[k];
          best[k] = iou > best[k] ? iou : best[k];
          const Bits bits = std::bit_cast<Bits>(iou > C(0) ? iou : C(0));
          top = bits > top ? bits : top;
        }
        const C best_of_block = std::bit_cast<C>(top);
        if (best_of_block > gt.best) {
          object.best = best_of_block;
          object.first_block = object.last_block = block;
        } else if (best_of_block == gt.best) {
          object.last_block = block;
        }
      }
    }
    for (int64_t k = 0; k < end - begin; ++k) {
      v.matched[begin + k] = is_own_match<C, Bits>({best[k], row[k]}, threshold) ? v.first_row + row[k] : kBackground;
    }
    if (v.own != nullptr) {
      for (int64_t k = 0; k < end - begin; ++k) {
        v.own[begin + k] = row[k];
      }
    }
    if (v.iou != nullptr) {
      for (int64_t k = 0; k < end - begin; ++k) {
        v.iou[begin + k] = static_cast<T>(clamp_at_zero(best[k]));
      }
    }
  }
}

// Every object, in row order, takes the anchors whose IoU with it ties its best IoU.
template <typename T>
void claim(const ImageView<T> v, bool claim_zero_overlap) {
  using C = compute_t<T>;
  const LowQuality low_quality = v.own == nullptr ? LowQuality::all : LowQuality::own;
  for (int64_t i = 0; i < v.object_count; ++i) {
    const typename MatchObjects<C>::Object gt = v.objects[i];
    const bool overlaps = gt.best > C(0);
    if (!overlaps && !claim_zero_overlap) {
      continue;
    }
    const int64_t first = overlaps ? gt.first_block : 0, last = overlaps ? gt.last_block : v.anchors.blocks - 1;
    for (int64_t block = first; block <= last; ++block) {
      if (overlaps && !reaches(gt.box, v.anchors.around(block))) {
        continue;
      }
      const int64_t end = v.end_of_block(block), row = v.first_row + gt.row;
      for (int64_t k = block * kBlockBoxes; k < end; ++k) {
        const int64_t own_row = v.own == nullptr || v.own[k] < 0 ? -1 : v.first_row + v.own[k];
        const int64_t claimed = match_after_claim(own_row, row, low_quality);
        v.matched[k] = ties_best(v.iou_with(gt, k), gt.best, claim_zero_overlap) ? claimed : v.matched[k];
      }
    }
  }
}

// Marks a background anchor as ignored if a large enough share of it lies in the ignore box.
template <typename T>
void ignore(const ImageView<T> v, const Box<compute_t<T>> box, compute_t<T> ignore_iof) {
  using C = compute_t<T>;
  for (int64_t block = 0; block < v.anchors.blocks; ++block) {
    if (ignore_iof > C(0) && !reaches(box, v.anchors.around(block))) {
      continue;
    }
    const int64_t end = v.end_of_block(block);
    for (int64_t k = block * kBlockBoxes; k < end; ++k) {
      const bool inside = is_ignored<MayBeNan::second>(box, v.anchors.box(k), v.anchors.area[k], ignore_iof);
      v.matched[k] = (inside & (v.matched[k] == kBackground)) ? kIgnored : v.matched[k];
    }
  }
}

}  // namespace match_anchors_cpu

// The checks of the offsets that need their values.
inline void check_match_offsets(const MatchParams& p) {
  check_offsets_ascend(p.gt_offsets, p.images, p.objects, "gt_offsets");
  if (p.ignore_offsets != nullptr) {
    check_offsets_ascend(p.ignore_offsets, p.images, p.ignore_count, "ignore_offsets");
  }
}

// Matches the anchors of one image. Writes matched[0..A) and, unless `iou` is null, iou[0..A). Does not use the outputs
// in `p`.
template <typename T>
void match_image(const MatchParams& p, const MatchAnchors<T>& anchors, int64_t image, MatchScratch<T>& scratch,
                 int64_t* matched, T* iou) {
  using C = compute_t<T>;
  MatchObjects<C>& objects = scratch.objects;
  match_anchors_cpu::collect_objects<T>(p, image, objects);
  match_anchors_cpu::ImageView<T> v{};
  v.anchors = anchors.blocks.view();
  v.objects = objects.objects.data();
  v.object_count = static_cast<int64_t>(objects.objects.size());
  v.tests = static_cast<int64_t>(objects.everywhere.size());
  v.x1 = objects.x1.data(), v.y1 = objects.y1.data(), v.x2 = objects.x2.data(), v.y2 = objects.y2.data();
  v.everywhere = objects.everywhere.data();
  v.first_row = p.gt_offsets[image];
  v.matched = matched;
  v.iou = iou;
  if (p.options.low_quality == LowQuality::own) {
    scratch.own.resize(p.anchor_count);
    v.own = scratch.own.data();
  }
  if (p.valid != nullptr && p.valid_stride_image != 0) {
    scratch.area.assign(v.anchors.blocks * kBlockBoxes, std::numeric_limits<C>::quiet_NaN());
    const uint8_t* valid = p.valid + image * p.valid_stride_image;
    vectorised([=, area = scratch.area.data()] {
      for (int64_t i = 0; i < v.anchors.count; ++i) {
        area[i] = valid[i] != 0 ? v.anchors.area[i] : area[i];
      }
    });
    v.anchors.area = scratch.area.data();
  }
  const C threshold = static_cast<C>(p.options.iou_threshold), ignore_iof = static_cast<C>(p.options.ignore_iof);
  const bool claims = p.options.low_quality != LowQuality::none, claim_zero_overlap = p.options.claim_zero_overlap;
  vectorised([=] {
    match_anchors_cpu::first_pass(v, threshold);
    if (claims) {
      match_anchors_cpu::claim(v, claim_zero_overlap);
    }
  });
  if (p.ignore_boxes != nullptr) {
    const Rows rows = rows_of_image(p.ignore_offsets, image, p.ignore_count);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const Box<C> box = match_box<T>(p, p.ignore_boxes, row);
      if (!has_nan(box)) {  // a box with NaN ignores no anchor
        vectorised([=] { match_anchors_cpu::ignore(v, box, ignore_iof); });
      }
    }
  }
}

}  // namespace colad
