// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: stress. Depends on: workers.h.
///
/// The C++ side's oracle: was every element received once, and in its producer's order? (ledger.go is Go's.)
///
/// A receiver writes down what it sees in its own `witness`, as runs of sequence numbers: [first, last). Only now and then
/// does it hand its runs to the crew's `ledger`, under a mutex: an oracle that synchronised the receivers at every
/// element would order the very operations whose races it is there to reveal. The ledger keeps per producer a sorted list of
/// disjoint runs. While nothing is wrong that list is about as long as there are gaps, that is elements in flight; at
/// the end it is one run from 0 to the number sent.
#pragma once

#include "workers.h"

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace crosslang {

/// Sequence numbers first, first + 1 ... last - 1.
struct run {
    std::uint64_t first;
    std::uint64_t last;
};

/// Which sequence numbers of which producer were received, over all receivers of a crew.
class ledger {
  public:
    explicit ledger(std::uint32_t producers) : runs_(producers) {}

    std::uint32_t producers() const noexcept { return static_cast<std::uint32_t>(runs_.size()); }

    /// Takes over what one receiver saw of one producer; `seen` is empty afterwards. Any thread.
    void enter(std::uint32_t producer, std::vector<run>& seen);

    /// Adds a receiver's own findings. Any thread.
    void enter(const xl_findings& findings);

    /// The sum of all findings, with what is missing from the `sent[producer]` elements (null: not looked at). After
    /// all receivers have ended.
    xl_findings settle(const std::uint64_t* sent, std::size_t producers);

  private:
    std::mutex mutex_;                   // guards everything below
    std::vector<std::vector<run>> runs_; // per producer: sorted, disjoint, not adjacent
    xl_findings findings_{};
};

/// What one receiver saw. Used by one thread.
class witness {
  public:
    /// `sources`: those who number the elements in an order that must hold here, 0: none is looked at.
    witness(ledger& book, std::uint32_t sources) : book_(book), seen_(book.producers()), next_(sources) {}

    /// An element arrived: number `sequence` of `producer`. False: there is no such producer, it is counted as foreign.
    bool arrived(std::uint32_t producer, std::uint64_t sequence);

    /// An element arrived that `source` numbered `sequence`: later than all that came from it before?
    void in_order(std::uint32_t source, std::uint64_t sequence);

    /// An element arrived that nobody can have sent.
    void foreign(const std::string& text);

    /// Hands everything over. Before the thread ends.
    void finish();

  private:
    static constexpr std::size_t runs_kept = 1024; // per producer, before they are handed over

    ledger& book_;
    std::vector<std::vector<run>> seen_; // per producer, in order of arrival
    std::vector<std::uint64_t> next_;    // per source: one more than the last number seen
    xl_findings findings_{};
};

/// Copies a sentence into a field of fixed size, cut if it must be, unless there is one already.
void keep_first(char (&field)[XL_TEXT], const std::string& text) noexcept;

} // namespace crosslang
