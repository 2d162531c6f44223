#include "releases.h"

#include <algorithm>
#include <span>
#include <unordered_map>

namespace simt {
namespace {

// What an atomic operation releases: what its thread knew to be fenced, and what it had acquired itself.
struct Release {
  uint32_t atomics;  // operations on the location, this one included
  uint32_t warp, fenced_phase, fenced_lanes[kWarp];
  std::shared_ptr<const std::vector<uint32_t>> fenced;
  std::vector<Known> acquired;
};

struct Location {
  uint32_t atomics = 0;
  std::unordered_map<uint32_t, std::vector<Release>> by_block;
};

std::vector<Location> locations;                      // of atomic operations after a fence
std::unordered_map<uintptr_t, uint32_t> location_of;  // of words of 4 bytes

void learn(std::vector<Known>& list, Known known) {
  for (Known& other : list) {
    if (other.location == known.location) {
      other.atomics = std::max(other.atomics, known.atomics);
      return;
    }
  }
  list.push_back(known);
}

void learn(std::vector<Known>& list, const std::vector<Known>& more) {
  for (const Known& known : more) {
    learn(list, known);
  }
}

bool covers(const Release& release, const Trace& before) {
  return before.phase < release.fenced_phase ||
         (release.fenced != nullptr && before.clock <= (*release.fenced)[before.thread]) ||
         (before.thread / kWarp == release.warp && before.clock <= release.fenced_lanes[before.thread % kWarp]);
}

// Whether one of the releases that are known, or one that these had acquired, covers an access.
bool is_covered(const Trace& before, const std::vector<Known>& known) {
  std::vector<Known> to_visit = known, visited;
  while (!to_visit.empty()) {
    const Known next = to_visit.back();
    to_visit.pop_back();
    const bool again = std::any_of(visited.begin(), visited.end(), [&](const Known& other) {
      return other.location == next.location && other.atomics >= next.atomics;
    });
    if (again) {
      continue;
    }
    visited.push_back(next);
    const Location& location = locations[next.location];
    if (const auto found = location.by_block.find(before.block); found != location.by_block.end()) {
      for (const Release& release : found->second) {
        if (release.atomics <= next.atomics && covers(release, before)) {
          return true;
        }
      }
    }
    for (const auto& [block, releases] : location.by_block) {
      for (const Release& release : releases) {
        if (release.atomics <= next.atomics) {
          learn(to_visit, release.acquired);
        }
      }
    }
  }
  return false;
}

}  // namespace

void forget_releases() {
  locations.clear();
  location_of.clear();
}

void fence() {
  Running& self = device.current->running;
  in_kernel = false;
  device.blocks[device.place].fences = true;
  self.fenced_phase = self.phase;
  std::copy_n(self.seen, kWarp, self.fenced);
  ++self.seen[self.thread % kWarp];
  learn(self.acquired, self.read);
  self.read.clear();
  in_kernel = true;
  yield();
}

void atomic_operation(Running& self, uintptr_t address, size_t bytes) {
  const bool releases = self.fenced_phase > 0;
  auto found = location_of.find(address / 4);
  if (found == location_of.end()) {
    if (!releases) {
      return;
    }
    for (uintptr_t word = address / 4; word < (address + bytes) / 4; ++word) {
      location_of[word] = uint32_t(locations.size());
    }
    locations.emplace_back();
    found = location_of.find(address / 4);
  }
  Location& location = locations[found->second];
  ++location.atomics;
  if (releases) {
    device.blocks[device.place].fences = true;
    Release release{location.atomics, self.thread / kWarp, self.fenced_phase, {}, {}, self.acquired};
    std::copy_n(self.fenced, kWarp, release.fenced_lanes);
    release.fenced = device.blocks[device.place].fenced;
    location.by_block[self.block].push_back(std::move(release));
  }
  device.blocks[device.place].fences = true;  // so that threads that meet share what was read
  learn(self.read, {found->second, location.atomics});
}

Order order_of_blocks(const Trace& before, const Running& now) {
  if (is_covered(before, now.acquired)) {
    return Order::acquired;
  }
  return is_covered(before, now.read) ? Order::no_fence_after_atomic : Order::none;
}

bool has_read_all_atomics(uintptr_t address, const Running& now) {
  const auto found = location_of.find(address / 4);
  const auto all = [&](const Known& known) {
    return known.location == found->second && known.atomics == locations[known.location].atomics;
  };
  return found != location_of.end() && (std::any_of(now.read.begin(), now.read.end(), all) ||
                                        std::any_of(now.acquired.begin(), now.acquired.end(), all));
}

void share_in_warp(const std::vector<Running*>& met) {
  Running all{};
  for (const Running* running : met) {
    all.fenced_phase = std::max(all.fenced_phase, running->fenced_phase);
    std::transform(all.fenced, all.fenced + kWarp, running->fenced, all.fenced,
                   [](uint32_t a, uint32_t b) { return std::max(a, b); });
    learn(all.read, running->read);
    learn(all.acquired, running->acquired);
  }
  for (Running* running : met) {
    running->fenced_phase = all.fenced_phase;
    std::copy_n(all.fenced, kWarp, running->fenced);
    running->read = all.read;
    running->acquired = all.acquired;
  }
}

void share_in_block(Block& block) {
  const std::span<Fiber> fibers(block.fibers, device.block.x);
  std::vector<uint32_t> fenced(device.block.x);
  if (block.fenced != nullptr) {
    fenced = *block.fenced;
  }
  Running all{};
  for (const Fiber& fiber : fibers) {
    const Running& running = fiber.running;
    all.fenced_phase = std::max(all.fenced_phase, running.fenced_phase);
    const unsigned warp = running.thread / kWarp * kWarp;
    for (unsigned lane = 0; lane < kWarp && warp + lane < device.block.x; ++lane) {
      fenced[warp + lane] = std::max(fenced[warp + lane], running.fenced[lane]);
    }
    learn(all.read, running.read);
    learn(all.acquired, running.acquired);
  }
  block.fenced = std::make_shared<const std::vector<uint32_t>>(std::move(fenced));
  for (Fiber& fiber : fibers) {
    fiber.running.fenced_phase = all.fenced_phase;
    fiber.running.read = all.read;
    fiber.running.acquired = all.acquired;
  }
}

}  // namespace simt
