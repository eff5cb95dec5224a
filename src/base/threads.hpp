#pragma once

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "pmemfs/result.hpp"

namespace pmemfs::base {

// Signals of the process are for other threads; faults are the thread's own, and what is in `own`.
inline void block_signals(std::initializer_list<int> own = {}) {
  sigset_t set;
  sigfillset(&set);
  for (const int signal : own) {
    sigdelset(&set, signal);
  }
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    sigdelset(&set, fault);
  }
  ::pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

// Starts `run` in a thread that takes no signals. EAGAIN: there are too many threads; ENOMEM.
template <typename Run>
Status start_thread(std::thread& thread, Run run) {
  try {
    thread = std::thread([run = std::move(run)] {
      block_signals();
      run();
    });
  } catch (const std::system_error& error) {
    return Error(error.code().value() > 0 ? error.code().value() : EAGAIN);
  } catch (const std::bad_alloc&) {
    return Error(ENOMEM);
  }
  return {};
}

}  // namespace pmemfs::base
