// SPDX-License-Identifier: BSL-1.0
//
// `stack` against stacks that other people would take.
#include "epoque/stack.hpp"

#include "contest.hpp"

#include <boost/lockfree/stack.hpp>

#include <mutex>
#include <vector>

namespace epoque::bench {
namespace {

struct ours {
    static constexpr bool is_fifo = false;
    bool push(std::uint64_t value) { return stack_.push(value); }
    bool pop(std::uint64_t& value) {
        auto popped = stack_.try_pop();
        if (!popped) {
            return false;
        }
        value = *popped;
        return true;
    }
    stack<std::uint64_t> stack_;
};

struct boost_lockfree {
    static constexpr bool is_fifo = false;
    bool push(std::uint64_t value) { return stack_.push(value); }
    bool pop(std::uint64_t& value) { return stack_.pop(value); }
    boost::lockfree::stack<std::uint64_t> stack_{1024};
};

struct mutex_vector {
    static constexpr bool is_fifo = false;
    bool push(std::uint64_t value) {
        const std::lock_guard lock(mutex_);
        stack_.push_back(value);
        return true;
    }
    bool pop(std::uint64_t& value) {
        const std::lock_guard lock(mutex_);
        if (stack_.empty()) {
            return false;
        }
        value = stack_.back();
        stack_.pop_back();
        return true;
    }
    std::mutex mutex_;
    std::vector<std::uint64_t> stack_;
};

[[maybe_unused]] const bool entered = [] {
    enter<ours>("stack", "epoque");
    enter<boost_lockfree>("stack", "boost::lockfree");
    enter<mutex_vector>("stack", "mutex + vector");
    return true;
}();

} // namespace
} // namespace epoque::bench
