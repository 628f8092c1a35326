// SPDX-License-Identifier: BSL-1.0
/// @file
/// The crew that reads files and sends them, cut into chunks, to a queue.
#include "crew.hpp"
#include "cutter.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// An open file. Nonblocking, so that a pipe or device that took a file's place stops nobody.
class open_file {
  public:
    explicit open_file(const std::string& path) noexcept
        : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
    ~open_file() {
        if (descriptor_ >= 0) {
            ::close(descriptor_);
        }
    }
    open_file(const open_file&) = delete;
    open_file& operator=(const open_file&) = delete;

    bool opened() const noexcept { return descriptor_ >= 0; }

    bool is_regular() const noexcept {
        struct stat status{};
        return ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
    }

    /// The number of bytes read, 0 at the end, -1 with errno.
    ssize_t read(std::span<unsigned char> into) const noexcept {
        for (;;) {
            const ssize_t got = ::read(descriptor_, into.data(), into.size());
            if (got >= 0 || errno != EINTR) {
                return got;
            }
        }
    }

  private:
    int descriptor_;
};

/// FNV-1a, as in Go's hash/fnv.
class fnv1a {
  public:
    void add(std::span<const unsigned char> bytes) noexcept {
        for (const unsigned char byte : bytes) {
            sum_ = (sum_ ^ byte) * 1099511628211u;
        }
    }
    std::uint64_t sum() const noexcept { return sum_; }

  private:
    std::uint64_t sum_ = 14695981039346656037u;
};

class readers final : public xl_crew {
  public:
    readers(std::uint64_t queue, const xl_plan& plan, std::vector<std::string> paths)
        : xl_crew(plan), queue_{queue}, paths_(std::move(paths)), files_(paths_.size()) {}

    std::span<const xl_file> files() const noexcept { return files_; }

  private:
    class outbox;

    void work(std::uint32_t index) override;

    /// False: the thread is to end.
    bool read_file(std::uint32_t file, outbox& out, std::span<unsigned char> buffer);

    epq_queue queue_;
    std::vector<std::string> paths_;
    std::vector<xl_file> files_;              // [i] written by the thread that took i
    std::atomic<std::uint32_t> next_file_{0}; // the first that nobody took
};

/// One thread's chunks on their way into the queue, in batches of varying size.
class readers::outbox {
  public:
    outbox(readers& crew, std::uint32_t index) : crew_(crew), index_(index), random_(crew.dice_for(index)) {
        batch_.reserve(largest_batch);
    }

    /// False: the crew stops.
    bool send(const xl_chunk& header, std::span<const unsigned char> payload) {
        xl_chunk& chunk = batch_.emplace_back(header);
        chunk.producer = index_;
        chunk.sequence = sequence_++;
        chunk.length = static_cast<std::uint32_t>(payload.size());
        std::memcpy(chunk.payload, payload.data(), payload.size());
        return batch_.size() < wanted_ || flush();
    }

    /// Sends what is there, also when the crew is told to stop: what was stamped is sent.
    bool flush() {
        if (batch_.empty()) {
            return true;
        }
        crew_.wait_for_room(crew_.queue_);
        const std::size_t sent = crew_.send_all(crew_.queue_, batch_.data(), sizeof(xl_chunk), batch_.size());
        std::uint64_t bytes = 0;
        for (std::size_t i = 0; i < sent; ++i) {
            bytes += batch_[i].length;
        }
        crew_.count(index_, sent, bytes);
        const bool all = sent == batch_.size();
        batch_.clear();
        wanted_ = random_.up_to(largest_batch);
        return all;
    }

  private:
    static constexpr std::size_t largest_batch = 16;

    readers& crew_;
    std::uint32_t index_;
    crosslang::dice random_;
    std::uint64_t sequence_ = 0;
    std::size_t wanted_ = 1;
    std::vector<xl_chunk> batch_;
};

void readers::work(std::uint32_t index) {
    constexpr std::size_t buffer_bytes = std::size_t{256} * 1024;
    std::vector<unsigned char> buffer(buffer_bytes);
    outbox out(*this, index);
    while (!stopped()) {
        // [readers.take] relaxed: only hands out numbers; the paths were there before the threads.
        const std::uint32_t file = next_file_.fetch_add(1, std::memory_order_relaxed);
        if (file >= paths_.size() || !read_file(file, out, buffer)) {
            break;
        }
    }
    out.flush();
}

// Fills the buffer behind what is left of the block before, cuts chunks off its front while more than a chunk is there.
bool readers::read_file(std::uint32_t file, outbox& out, std::span<unsigned char> buffer) {
    xl_file& outcome = files_[file];
    const open_file input(paths_[file]);
    if (!input.opened()) {
        outcome.state = XL_OPEN_FAILED;
        outcome.error = errno;
        return true;
    }
    if (!input.is_regular()) {
        outcome.state = XL_NOT_REGULAR;
        return true;
    }

    fnv1a digest;
    xl_chunk header{};
    header.file = file;
    bool in_long_word = false;
    std::size_t kept = 0; // bytes at the front of the buffer
    outcome.state = XL_CUT;
    while (outcome.state == XL_CUT) {
        if (stopped() && !in_long_word) { // a word that has begun is sent to its end, or it could not be joined
            return false;
        }
        const ssize_t got = input.read(buffer.subspan(kept));
        if (got > 0) {
            const auto block = buffer.subspan(kept, static_cast<std::size_t>(got));
            digest.add(block);
            outcome.bytes += block.size();
            outcome.digest = digest.sum();
            kept += block.size();
        } else if (got == 0) {
            outcome.digest = digest.sum();
            outcome.state = XL_READ;
        } else {
            outcome.digest = digest.sum();
            outcome.error = errno;
            outcome.state = XL_READ_FAILED;
        }

        const bool ended = outcome.state != XL_CUT;
        std::span<const unsigned char> rest = buffer.first(kept);
        while (rest.size() > XL_CHUNK_BYTES || (ended && !rest.empty())) {
            const crosslang::cut cut = crosslang::next_cut(rest.data(), rest.size(), XL_CHUNK_BYTES, in_long_word);
            if (cut.fragment && !in_long_word) {
                header.word_start = header.offset;
            }
            in_long_word = cut.fragment && !cut.last;
            header.flags = (cut.fragment ? XL_CHUNK_FRAGMENT : 0u) | (cut.last ? XL_CHUNK_LAST_FRAGMENT : 0u);
            if (!out.send(header, rest.first(cut.length))) {
                outcome.state = XL_CUT;
                return false;
            }
            ++outcome.chunks;
            header.offset += cut.length;
            rest = rest.subspan(cut.length);
        }
        std::memmove(buffer.data(), rest.data(), rest.size());
        kept = rest.size();
    }
    return true;
}

} // namespace

extern "C" {

xl_crew* xl_readers_start(uint64_t queue, const xl_plan* plan, const char* paths, size_t files, xl_trouble* trouble) {
    return crosslang::start_crew(*trouble, [&] {
        std::vector<std::string> list;
        list.reserve(files);
        for (std::size_t file = 0; file < files; ++file) {
            list.emplace_back(paths);
            paths += list.back().size() + 1;
        }
        return std::make_unique<readers>(queue, *plan, std::move(list));
    });
}

void xl_readers_files(const xl_crew* crew, xl_file* out, size_t files) {
    const auto all = static_cast<const readers*>(crew)->files();
    std::copy_n(all.begin(), std::min(files, all.size()), out);
}

} // extern "C"
