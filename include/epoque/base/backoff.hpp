// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: nothing of epoque (the Env is a parameter).
///
/// Bounded exponential back-off after a failed CAS.
#pragma once

namespace epoque {

/// Waits a little longer after each failure, up to `max_pauses` (about 1 us on x86): long enough for the winner of the
/// race to be gone, short enough that an oversubscribed machine does not collapse.
/// Progress: wait-free. Complexity: at most `max_pauses` pauses a call.
template <class Env>
class backoff {
  public:
    void operator()() noexcept {
        for (unsigned i = 0; i < pauses_; ++i) {
            Env::pause();
        }
        if (pauses_ < max_pauses) {
            pauses_ *= 2;
        }
    }

  private:
    static constexpr unsigned max_pauses = 32;
    unsigned pauses_ = 1;
};

} // namespace epoque
