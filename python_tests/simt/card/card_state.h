// What the files of the cards share: how many there are, which one is current, and access to their memory.
#pragma once

#include <c10/core/Stream.h>

#include <string>

#include "../card.h"
#include "../simt.h"

namespace simt {

constexpr int kCards = 2;

int current_card();
void set_current_card(int index);
c10::Stream current_stream(int index);

// The host waits for a card. An error, where the test says so.
void wait(const std::string& why);

// Between these two calls the memory of the cards can be read and written. At any other time the process ends at an
// access: host code that reads what is on a card is an error.
void unlock();
void lock();

struct Unlocked {
  Unlocked() { unlock(); }
  ~Unlocked() { lock(); }
};

}  // namespace simt
