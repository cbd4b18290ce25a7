// Runs the threads of a block as fibers.
#include <c10/util/Exception.h>
#include <ucontext.h>

#include <array>
#include <exception>
#include <memory>
#include <vector>

#include "cuda_runtime.h"

namespace emulation {
namespace {

constexpr size_t kStackBytes = size_t{128} << 10;

enum class State { kReady, kAtWarp, kAtBlock, kDone };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  State state;
};

std::vector<Fiber> fibers;
std::array<std::array<char, 16 * kLanes>, 32> exchanges;
ucontext_t scheduler;
int running = 0;
const std::function<void()>* body = nullptr;
std::exception_ptr failure;  // of a fiber: it cannot leave the fiber's stack by itself

void enter() {
  try {
    (*body)();
  } catch (...) {
    failure = std::current_exception();
  }
  fibers[running].state = State::kDone;
  swapcontext(&fibers[running].context, &scheduler);
}

// Lets the fibers [begin, end) go on if all that are not done wait so; says whether any does.
bool release(int begin, int end, State waiting) {
  bool any = false;
  for (int i = begin; i < end; ++i) {
    if (fibers[i].state != waiting && fibers[i].state != State::kDone) {
      return false;
    }
    any |= fibers[i].state == waiting;
  }
  for (int i = begin; any && i < end; ++i) {
    if (fibers[i].state == waiting) {
      fibers[i].state = State::kReady;
    }
  }
  return any;
}

}  // namespace

void wait(Wait what) {
  Fiber& fiber = fibers[running];
  fiber.state = what == Wait::kForWarp ? State::kAtWarp : State::kAtBlock;
  swapcontext(&fiber.context, &scheduler);
}

void* exchange() {
  return exchanges[running / kLanes].data();
}

void run_block(int threads, const std::function<void()>& kernel) {
  body = &kernel;
  if (fibers.size() < static_cast<size_t>(threads)) {
    fibers = std::vector<Fiber>(threads);
  }
  for (int i = 0; i < threads; ++i) {
    getcontext(&fibers[i].context);
    fibers[i].context.uc_stack.ss_sp = fibers[i].stack.get();
    fibers[i].context.uc_stack.ss_size = kStackBytes;
    fibers[i].context.uc_link = nullptr;
    makecontext(&fibers[i].context, enter, 0);
    fibers[i].state = State::kReady;
  }
  for (bool backwards = false;; backwards = !backwards) {
    bool done = true;
    for (int i = 0; i < threads; ++i) {
      running = backwards ? threads - 1 - i : i;
      if (fibers[running].state == State::kReady) {
        threadIdx = dim3(running);
        swapcontext(&scheduler, &fibers[running].context);
      }
      if (failure) {
        std::rethrow_exception(std::exchange(failure, nullptr));
      }
      done &= fibers[running].state == State::kDone;
    }
    if (done) {
      return;
    }
    bool released = release(0, threads, State::kAtBlock);
    for (int i = 0; i < threads; i += kLanes) {
      released |= release(i, std::min(i + kLanes, threads), State::kAtWarp);
    }
    TORCH_CHECK(released, "the threads of a block wait for each other at different places");
  }
}

}  // namespace emulation
