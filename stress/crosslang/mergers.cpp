// SPDX-License-Identifier: BSL-1.0
/// @file
/// The crew that receives counts from a stack and adds them up.
///
/// A word that does not fit in a record arrives in parts, in any order, at any thread: each thread keeps the parts it
/// got, and after the join they are put together. So counts are exact whatever the length of an identifier.
#include "crew.hpp"

#include <algorithm>
#include <functional>
#include <span>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace {

std::uint64_t name_mix(std::string_view name) noexcept {
    std::uint64_t sum = 14695981039346656037u; // FNV-1a, then MurmurHash3's finalizer: Go computes the same
    for (const char c : name) {
        sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211u;
    }
    sum = (sum ^ (sum >> 33)) * 0xff51afd7ed558ccdu;
    sum = (sum ^ (sum >> 33)) * 0xc4ceb9fe1a85ec53u;
    return sum ^ (sum >> 33);
}

struct name_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const noexcept { return static_cast<std::size_t>(name_mix(name)); }
};

using counts = std::unordered_map<std::string, std::uint64_t, name_hash, std::equal_to<>>;

/// A part of a word that did not fit in one record.
struct part {
    std::uint32_t file;
    std::uint32_t flags;
    std::uint64_t word_start;
    std::uint64_t offset;
    std::string text;
};

class mergers final : public xl_crew {
  public:
    mergers(std::uint64_t stack, const xl_plan& plan, std::size_t files)
        : xl_crew(plan), stack_{stack}, files_(files), shares_(plan.threads) {}

    /// Adds the threads' shares up, sorts. After the join.
    bool finish(xl_trouble& trouble);

    std::span<const xl_tally> tallies() const noexcept { return shares_[0].tallies; }
    std::span<const counts::value_type* const> ranking() const noexcept { return ranking_; }

  private:
    /// What one thread received.
    struct share {
        counts names;
        std::vector<xl_tally> tallies; // per file
        std::vector<part> parts;

        void add(std::uint32_t file, std::string_view name, std::uint64_t times);
    };

    void work(std::uint32_t index) override;

    /// False: nobody can have sent this.
    bool take(share& mine, const xl_count& record) const;
    bool join_parts(share& total, xl_trouble& trouble) const;

    epq_stack stack_;
    std::size_t files_;
    std::vector<share> shares_; // per thread; [0] is the total after finish()
    std::vector<const counts::value_type*> ranking_;
};

void mergers::share::add(std::uint32_t file, std::string_view name, std::uint64_t times) {
    const auto found = names.find(name);
    if (found != names.end()) {
        found->second += times;
    } else {
        names.emplace(name, times);
    }
    xl_tally& tally = tallies[file];
    tally.identifiers += times;
    tally.bytes += times * name.size();
    tally.mix += times * name_mix(name);
}

void mergers::work(std::uint32_t index) {
    share& mine = shares_[index];
    mine.tallies.resize(files_);
    crosslang::dice random = dice_for(index);
    crosslang::witness witness(book(), 0);
    const auto receive = [this](auto... arguments) { return epq_stack_recv_n(stack_, arguments...); };
    receive_all<xl_count>("epq_stack_recv_n", random, receive, [&](const xl_count* records, std::size_t number) {
        std::uint64_t bytes = 0;
        for (const xl_count& record : std::span(records, number)) {
            if (!take(mine, record)) {
                witness.foreign("a count is for file " + std::to_string(record.file) + " and has " +
                                std::to_string(record.length) + " bytes of text: no goroutine sends that");
                continue;
            }
            witness.arrived(record.producer, record.sequence);
            bytes += record.length;
        }
        count(index, number, bytes);
        return true;
    });
    witness.finish();
}

bool mergers::take(share& mine, const xl_count& record) const {
    if (record.file >= files_ || record.length == 0 || record.length > XL_TEXT_BYTES || record.count == 0) {
        return false;
    }
    const std::string_view text(reinterpret_cast<const char*>(record.text), record.length); // SAFETY: bytes as char
    if ((record.flags & XL_COUNT_PART) == 0) {
        mine.add(record.file, text, record.count);
    } else {
        mine.parts.push_back({record.file, record.flags, record.word_start, record.part_offset, std::string(text)});
    }
    return true;
}

bool mergers::join_parts(share& total, xl_trouble& trouble) const {
    const auto place = [](const part& p) { return std::tuple(p.file, p.word_start, p.offset); };
    std::sort(total.parts.begin(), total.parts.end(),
              [&](const part& a, const part& b) { return place(a) < place(b); });
    std::string word;
    for (auto at = total.parts.begin(); at != total.parts.end();) {
        const part& first = *at;
        word.clear();
        bool ended = false;
        for (; at != total.parts.end() && !ended && at->file == first.file && at->word_start == first.word_start &&
               at->offset == word.size();
             ++at) {
            word += at->text;
            ended = (at->flags & XL_COUNT_LAST_PART) != 0;
        }
        if (!ended) {
            crosslang::keep_first(trouble.text, "the word at byte " + std::to_string(first.word_start) + " of file " +
                                                    std::to_string(first.file) + " is incomplete after " +
                                                    std::to_string(word.size()) + " bytes");
            return false;
        }
        const std::size_t begin = word.find_first_not_of("0123456789");
        if (begin != std::string::npos) {
            total.add(first.file, std::string_view(word).substr(begin), 1);
        }
    }
    total.parts.clear();
    return true;
}

bool mergers::finish(xl_trouble& trouble) {
    share& total = shares_[0];
    total.tallies.resize(files_);
    for (std::size_t other = 1; other < shares_.size(); ++other) {
        share from = std::exchange(shares_[other], {});
        for (auto& [name, times] : from.names) {
            total.names[name] += times;
        }
        for (std::size_t file = 0; file < from.tallies.size(); ++file) {
            total.tallies[file].identifiers += from.tallies[file].identifiers;
            total.tallies[file].bytes += from.tallies[file].bytes;
            total.tallies[file].mix += from.tallies[file].mix;
        }
        std::move(from.parts.begin(), from.parts.end(), std::back_inserter(total.parts));
    }
    if (!join_parts(total, trouble)) {
        return false;
    }
    ranking_.reserve(total.names.size());
    for (const auto& entry : total.names) {
        ranking_.push_back(&entry);
    }
    std::sort(ranking_.begin(), ranking_.end(), [](const auto* a, const auto* b) {
        return a->second != b->second ? a->second > b->second : a->first < b->first;
    });
    return true;
}

} // namespace

extern "C" {

xl_crew* xl_mergers_start(uint64_t stack, const xl_plan* plan, size_t files, xl_trouble* trouble) {
    return crosslang::start_crew(*trouble, [&] { return std::make_unique<mergers>(stack, *plan, files); });
}

int xl_mergers_finish(xl_crew* crew, xl_trouble* trouble) {
    try {
        return static_cast<mergers*>(crew)->finish(*trouble) ? 1 : 0;
    } catch (const std::exception& thrown) {
        crosslang::keep_first(trouble->text, std::string("the counts could not be added up: ") + thrown.what());
        return 0;
    }
}

void xl_mergers_tallies(const xl_crew* crew, xl_tally* out, size_t files) {
    const auto all = static_cast<const mergers*>(crew)->tallies();
    std::copy_n(all.begin(), std::min(files, all.size()), out);
}

size_t xl_mergers_distinct(const xl_crew* crew) {
    return static_cast<const mergers*>(crew)->ranking().size();
}

uint64_t xl_mergers_entry(const xl_crew* crew, size_t rank, const char** text, size_t* length) {
    const auto& [name, times] = *static_cast<const mergers*>(crew)->ranking()[rank];
    *text = name.data();
    *length = name.size();
    return times;
}

uint64_t xl_name_mix(const char* text, size_t length) {
    return name_mix({text, length});
}

} // extern "C"
