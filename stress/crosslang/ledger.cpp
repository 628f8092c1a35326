// SPDX-License-Identifier: BSL-1.0
/// @file
/// The ledger and the witness of ledger.hpp.
#include "ledger.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace crosslang {

void keep_first(char (&field)[XL_TEXT], const std::string& text) noexcept {
    if (field[0] == '\0') {
        const std::size_t length = std::min(text.size(), sizeof field - 1);
        std::memcpy(field, text.data(), length);
        field[length] = '\0';
    }
}

void ledger::enter(std::uint32_t producer, std::vector<run>& seen) {
    const auto by_first = [](const run& a, const run& b) { return a.first < b.first; };
    std::sort(seen.begin(), seen.end(), by_first);

    const std::lock_guard lock(mutex_);
    std::vector<run>& known = runs_[producer];
    std::vector<run> all;
    all.reserve(known.size() + seen.size());
    std::merge(known.begin(), known.end(), seen.begin(), seen.end(), std::back_inserter(all), by_first);
    seen.clear();

    known.clear();
    for (const run& next : all) {
        if (known.empty() || known.back().last < next.first) {
            known.push_back(next);
            continue;
        }
        run& last = known.back();
        if (next.first < last.last) {
            findings_.duplicates += std::min(last.last, next.last) - next.first;
            keep_first(findings_.first, "element " + std::to_string(next.first) + " of producer " +
                                            std::to_string(producer) + " arrived twice");
        }
        last.last = std::max(last.last, next.last);
    }
}

void ledger::enter(const xl_findings& findings) {
    const std::lock_guard lock(mutex_);
    findings_.received += findings.received;
    findings_.checked += findings.checked;
    findings_.disordered += findings.disordered;
    findings_.foreign += findings.foreign;
    keep_first(findings_.first, findings.first);
    keep_first(findings_.first_disorder, findings.first_disorder);
}

xl_findings ledger::settle(const std::uint64_t* sent, std::size_t producers) {
    const std::lock_guard lock(mutex_);
    for (std::uint32_t producer = 0; sent != nullptr && producer < std::min(producers, runs_.size()); ++producer) {
        std::uint64_t expected = 0; // all below have been looked at
        const auto gap = [&](std::uint64_t until) {
            if (expected < until) {
                findings_.missing += until - expected;
                keep_first(findings_.first, "element " + std::to_string(expected) + " of producer " +
                                                std::to_string(producer) + " never arrived");
            }
        };
        for (const run& seen : runs_[producer]) {
            gap(std::min(seen.first, sent[producer]));
            expected = seen.last;
            if (seen.last > sent[producer]) {
                const std::uint64_t beyond = std::max(seen.first, sent[producer]);
                findings_.foreign += seen.last - beyond;
                keep_first(findings_.first, "element " + std::to_string(beyond) + " of producer " +
                                                std::to_string(producer) + " arrived, which sent only " +
                                                std::to_string(sent[producer]));
            }
        }
        gap(sent[producer]);
    }
    return findings_;
}

bool witness::arrived(std::uint32_t producer, std::uint64_t sequence) {
    if (producer >= seen_.size()) {
        foreign("an element says that it is number " + std::to_string(sequence) + " of producer " +
                std::to_string(producer) + ", which does not exist");
        return false;
    }
    ++findings_.received;
    std::vector<run>& seen = seen_[producer];
    if (!seen.empty() && seen.back().last == sequence) { // a queue's run goes up
        seen.back().last = sequence + 1;
    } else if (!seen.empty() && sequence + 1 == seen.back().first) { // a stack's goes down
        seen.back().first = sequence;
    } else {
        if (seen.size() == runs_kept) {
            book_.enter(producer, seen);
        }
        seen.push_back({sequence, sequence + 1});
    }
    return true;
}

void witness::in_order(std::uint32_t source, std::uint64_t sequence) {
    if (source >= next_.size()) {
        foreign("an element says that it is number " + std::to_string(sequence) + " of source " +
                std::to_string(source) + ", which does not exist");
        return;
    }
    ++findings_.checked;
    std::uint64_t& next = next_[source];
    if (sequence < next) {
        ++findings_.disordered;
        keep_first(findings_.first_disorder, "number " + std::to_string(sequence) + " of source " +
                                                 std::to_string(source) + " arrived after number " +
                                                 std::to_string(next - 1) + " at the same receiver");
        return;
    }
    next = sequence + 1;
}

void witness::foreign(const std::string& text) {
    ++findings_.foreign;
    keep_first(findings_.first, text);
}

void witness::finish() {
    for (std::uint32_t producer = 0; producer < seen_.size(); ++producer) {
        book_.enter(producer, seen_[producer]);
    }
    book_.enter(findings_);
    findings_ = {};
}

} // namespace crosslang
