// In place of csrc/common/ticket.cuh: every launch has a counter of its own.
#pragma once

#include <optional>

#include "common/allocate.h"
#include "common/launch.cuh"

namespace colad {

struct Ticket {
  int32_t* memory;
  int32_t* counter() const { return memory; }
};

struct TicketHolder {
  Ticket ticket;
  Tensor memory;

  // A launch has to leave 0 behind.
  ~TicketHolder() noexcept(false) {
    if (std::uncaught_exceptions() == 0 && *ticket.memory != 0) {
      throw std::runtime_error("a ticket is " + std::to_string(*ticket.memory) + " after its launch");
    }
  }
};

inline TicketHolder take_ticket(const Tensor& like, cudaStream_t) {
  const Tensor memory = new_tensor(like, {1}, ScalarType::Int);
  auto* const counter = static_cast<int32_t*>(memory.data_ptr());
  *counter = 0;
  return {{counter}, memory};
}

}  // namespace colad
