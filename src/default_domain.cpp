// SPDX-License-Identifier: BSL-1.0
/// @file
/// The one domain that every structure uses unless it is given another.
#include "epoque/domain.hpp"

#include <atomic>
#include <memory>

namespace epoque {

domain& default_domain() {
    // Never destroyed: structures with static storage duration, and threads that end late, may still use it.
    // Not made under a lock: a fork while another thread makes it would keep the child waiting.
    constinit static std::atomic<domain*> only{nullptr};
    // [default.look] acquire: pairs with [default.make]
    //   The domain was built before it was published.
    domain* found = only.load(std::memory_order_acquire);
    if (found == nullptr) [[unlikely]] {
        auto fresh = std::make_unique<domain>();
        // [default.make] acq_rel: pairs with [default.look]
        //   As [default.look]. Failure (acquire): another thread's.
        if (only.compare_exchange_strong(found, fresh.get(), std::memory_order_acq_rel, std::memory_order_acquire)) {
            found = fresh.release();
        }
    }
    return *found;
}

} // namespace epoque
