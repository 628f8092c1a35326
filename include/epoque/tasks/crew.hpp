// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base, domain, deque.hpp, queue.hpp, core/deadline.hpp, core/interest.hpp, tasks/promise.hpp.
///
/// Who runs which task, without the threads themselves: these are task_pool's, or a model checker's.
///
///     submit() by anybody ------> intake_ (a queue)
///     submit() by a worker -----> its own deque <-- the others steal the oldest
///
///     worker: own deque, newest first -> intake_ -> steal -> announce, look once more, sleep
///
/// Invariants:
///   K1  (no lost task) A task is in one deque, in the intake, or in one worker's hands.
///   K2  (no lost wake-up) Who has put a task looks for sleepers (core/interest.hpp); who wants to sleep announces itself, orders,
///       and looks for tasks once more. One sees the other (I1).
///   K3  sleepers_ counts the announced workers, and the permits. Who wakes makes a permit of an announcement, in one step; a
///       worker that gets up uses up a permit or, of its own accord, an announcement. So until the end there are as many workers
///       between announcement and getting up as there are announcements and permits, and no sleeper is forgotten.
///   K4  A worker announces itself only after its own deque was empty, which nobody else fills. So when all workers are asleep, the
///       deques are empty; and if the intake was closed and empty before, nothing will come any more: that is the end.
///   K5  A worker between its announcement and getting up takes no task, and puts none into its deque (deleters that its unpin
///       runs put theirs into the intake).
///
/// Progress: submit is lock-free, plus a system call that does not block where a worker sleeps; a submitter that is stopped
/// before that call is made up for by the next one. A worker that sleeps inside a task stops that task (and those that wait for
/// it) only: the others steal from it.
/// Fairness: tasks of one submitter begin in order (intake) or newest first (a worker's own). Once in `fair_every` tasks a worker
/// takes the oldest from outside, or of its own, by turns, so that tasks that breed tasks starve nobody. (A lane's turn counts
/// as one task; what is run inside of a wait is not counted.)
/// Proof: docs/memory-model.md#tasks.
///
/// Sources: Blumofe, Leiserson, Scheduling multithreaded computations by work stealing, JACM 1999. That who waits for a task
/// that has not begun runs it itself is .NET's task inlining.
#pragma once

#include "epoque/core/deadline.hpp"
#include "epoque/core/interest.hpp"
#include "epoque/deque.hpp"
#include "epoque/queue.hpp"
#include "epoque/tasks/promise.hpp"
#include "epoque/tasks/task.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace epoque::core {

/// What a crew has done so far. Counts of several workers, each taken at its own moment.
struct crew_stats {
    std::uint64_t tasks = 0;  ///< ended: run, dropped, or found to have been run by who waited for them
    std::uint64_t stolen = 0; ///< of these, taken from another worker's deque
    std::uint64_t sleeps = 0; ///< of workers that found nothing
    std::uint64_t asleep = 0; ///< workers, now
};

template <class Env>
class crew {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using node = task_node<Env>;
    using counter = typename record<Env>::counter;

  public:
    /// Throws: bad_alloc. Precondition: at most 65,535 workers.
    crew(basic_domain<Env>& home, unsigned workers) : intake_(home) {
        if (workers >= one_permit) {
            misuse("a task pool was asked for more than 65,535 threads: it counts no further. Ask for as many as there "
                   "are cores.");
        }
        for (unsigned number = 0; number < workers; ++number) {
            workers_.emplace_back(*this, home, number);
        }
    }
    crew(const crew&) = delete;
    crew& operator=(const crew&) = delete;
    /// Precondition: all who were in work() have left it.
    ~crew() = default;

    /// Hands `task` over. Returns: success; closed: it stays the caller's. Throws: bad_alloc; it stays the caller's.
    conqueue_status submit(node& task) {
        if (has_running(this)) {
            own()->tasks.push(&task);
        } else if (!intake_.push(&task)) {
            return conqueue_status::closed;
        }
        look_for_sleepers();
        return conqueue_status::success;
    }
    /// The same, behind what is there: through the intake, also by a worker.
    conqueue_status submit_last(node& task) {
        if (!intake_.push(&task)) {
            return submit(task);
        }
        look_for_sleepers();
        return conqueue_status::success;
    }

    /// The same for a task (`last`: submit_last), which stays what it is unless it is taken. True: it is.
    bool take(basic_task<Env>& work, bool last = false) {
        node& task = *work.release();
        conqueue_status status = conqueue_status::closed;
        try {
            status = last ? submit_last(task) : submit(task);
        } catch (...) {
            work = basic_task<Env>::adopt(task);
            throw;
        }
        if (status != conqueue_status::success) {
            work = basic_task<Env>::adopt(task);
        }
        return status == conqueue_status::success;
    }

    /// One thread's work: `begin`, then tasks until the crew has ended. Each number once. Ends the program where the thread's first
    /// use of the domain finds no memory.
    template <class Begin>
    void work(unsigned number, const Begin& begin) noexcept {
        worker& self = workers_[number];
        void* const before = std::exchange(Env::worker(), &self);
        begin();
        while (node* next = find(self)) {
            self.ended.add(1);
            self.running = true;
            next->act(*next, fate_now());
            self.running = false;
        }
        Env::worker() = before;
    }
    void work(unsigned number) noexcept {
        work(number, [] {});
    }

    /// Takes nothing in any more; what is there, and what its tasks submit, is still run. Idempotent.
    void close() noexcept {
        intake_.close();
        look_for_sleepers(); // K4: somebody has to see it
    }
    /// The same; what has not begun is dropped.
    void stop() noexcept {
        // [stop.mark] relaxed: as [work.dropping].
        dropping_.store(1, Env::relaxed);
        close();
    }
    /// Ends work() for all, whatever is left. For a crew that nobody has submitted to.
    void dismiss() noexcept { end(); }

    bool is_closed() const noexcept { return intake_.is_closed(); }
    /// Waits until all workers are through. True: they are; false: the deadline came first.
    template <class Deadline>
    bool wait_for_end(const Deadline& until) noexcept {
        for (;;) {
            // [end.look] acquire: pairs with [end.mark]
            //   What the tasks did.
            if (ended_.load(Env::acquire) != 0) {
                return true;
            }
            if (until.passed()) {
                return false;
            }
            Env::park(ended_, 0, until.next());
        }
    }

    /// Whether the calling thread is one of the workers of `team`, which need not exist any more.
    static bool has_caller(const crew* team) noexcept {
        const auto* const self = static_cast<const worker*>(Env::worker());
        return self != nullptr && &self->of == team;
    }
    /// Whether it is, and runs a task: then it may help itself.
    static bool has_running(const crew* team) noexcept { return has_caller(team) && own()->running; }
    /// For such a one that waits for `awaited`, which was submitted here. Where that has not begun, runs it here and now: workers that
    /// wait for tasks never wait for a free worker. True: it has ended.
    bool assist(promise<Env>& awaited);

    crew_stats stats() const noexcept {
        crew_stats sum;
        for (const worker& each : workers_) {
            sum.tasks += each.ended.get();
            sum.stolen += each.stolen.get();
            sum.sleeps += each.sleeps.get();
        }
        sum.asleep = announced_in(sleepers_.was());
        return sum;
    }
    unsigned size() const noexcept { return static_cast<unsigned>(workers_.size()); }

  private:
    static constexpr unsigned fair_every = 61; // a prime: in step with no loop of a task's
    static constexpr unsigned yielding = 16;   // Env::relax from there on gives the processor away
    static constexpr unsigned busy_rounds = 8; // of a thief whose victims answer busy
    static constexpr std::int64_t poll_interval = 1'000'000;

    struct alignas(interference_size) worker {
        worker(crew& team, basic_domain<Env>& home, unsigned which) : of(team), tasks(home), number(which) {}

        crew& of;
        work_stealing_deque<node*, Env> tasks;
        const unsigned number;
        unsigned tick = 0;
        unsigned last_victim = 0;
        bool running = false; // a task, whose own tasks go into the deque. (Deleters that an unpin runs are none: K5.)
        counter ended;
        counter stolen;
        counter sleeps;
    };

    static worker* own() noexcept { return static_cast<worker*>(Env::worker()); }

    // ---- looking for tasks -----------------------------------------------------------------------------------------

    node* from_intake() noexcept {
        auto got = intake_.try_pop();
        return got ? *got : nullptr;
    }
    node* steal(worker& self) noexcept {
        const unsigned all = size();
        bool again = true;
        for (unsigned round = 0; again && round < busy_rounds; ++round) {
            again = false;
            for (unsigned step = 0; step < all; ++step) {
                const unsigned victim = (self.last_victim + step) % all;
                if (victim == self.number) {
                    continue;
                }
                auto got = workers_[victim].tasks.try_steal();
                if (got) {
                    self.last_victim = victim;
                    self.stolen.add(1);
                    return *got;
                }
                again = again || got.error() == conqueue_status::busy;
            }
            Env::pause();
        }
        return nullptr;
    }
    /// The oldest first: by turns of those from outside and of the worker's own.
    node* find_oldest(worker& self) noexcept {
        if (self.tick / fair_every % 2 == 0) {
            return from_intake();
        }
        auto got = self.tasks.try_steal();
        return got ? *got : nullptr;
    }
    bool see_work() const {
        return !intake_.was_empty() || std::any_of(workers_.begin(), workers_.end(),
                                                   [](const worker& each) { return !each.tasks.was_empty(); });
    }

    /// The next task; null: the end.
    node* find(worker& self) noexcept {
        if (++self.tick % fair_every == 0) {
            if (node* const found = find_oldest(self); found != nullptr) {
                return found;
            }
        }
        if (auto mine = self.tasks.try_pop()) {
            return *mine;
        }
        while (!has_ended()) {
            for (unsigned look = 0; look < Env::looks_before_park; ++look) {
                if (node* const found = from_intake(); found != nullptr) {
                    return found;
                }
                if (node* const found = steal(self); found != nullptr) {
                    return found;
                }
                Env::relax(yielding); // whoever submits may need this processor
            }
            self.tasks.trim(); // whoever has nothing to do keeps no memory for it
            sleep(self);
        }
        return nullptr;
    }

    // ---- sleeping --------------------------------------------------------------------------------------------------
    // sleepers_: how many are announced, and above that, how many permits there are for those who were taken off.

    static constexpr std::uint32_t one_announced = 1;
    static constexpr std::uint32_t one_permit = std::uint32_t{1} << 16;
    static constexpr std::uint32_t announced_in(std::uint32_t word) noexcept { return word % one_permit; }

    /// K2. Returns when the worker is off the list of those that sleep: K5.
    void sleep(worker& self) noexcept {
        sleepers_.add(one_announced);
        const bool ordered = sleepers_.order(fast_);
        std::uint32_t seen = 0;
        if (see_work()) {
            get_up(true, seen);
            return;
        }
        // Closed before empty: what comes in between the two is seen.
        if (intake_.is_closed() && intake_.was_empty() && sleepers_.read() == size()) { // K4
            end();
        }
        self.sleeps.add(1);
        bool timed_out = false;
        while (!has_ended() && !get_up(timed_out, seen)) {
            sleepers_.park(seen, ordered ? parking::never : moment_in<Env>(poll_interval));
            timed_out = !ordered; // the kernel refuses membarrier: who submits may have overlooked us
        }
    }
    /// K3: by a permit; or, where `early`, off the list. False: `seen` has no permit.
    bool get_up(bool early, std::uint32_t& seen) noexcept {
        seen = sleepers_.was();
        while (seen >= one_permit || early) {
            if (sleepers_.change(seen, seen - (seen >= one_permit ? one_permit : one_announced))) {
                return true;
            }
        }
        return false;
    }
    /// After a deed: one who sleeps gets a permit. Permits that nobody has used yet are perhaps those of somebody who was
    /// stopped before the wake: then that is made up for.
    EPOQUE_COLD void wake(std::uint32_t seen) noexcept {
        while (announced_in(seen) != 0) {
            if (sleepers_.change(seen, seen - one_announced + one_permit)) {
                sleepers_.unpark(1);
                return;
            }
        }
        if (seen != 0) {
            sleepers_.unpark(seen / one_permit);
        }
    }
    void look_for_sleepers() noexcept {
        if (const std::uint32_t seen = sleepers_.look(fast_); seen != 0) [[unlikely]] {
            wake(seen);
        }
    }

    fate fate_now() const noexcept {
        // [work.dropping] relaxed: a task that is run where it could have been dropped does no harm.
        return dropping_.load(Env::relaxed) != 0 ? fate::drop : fate::run;
    }
    bool has_ended() const noexcept {
        // [ended.look] acquire: pairs with [end.mark]
        //   As [end.look].
        return ended_.load(Env::acquire) != 0;
    }
    void end() noexcept {
        // [end.mark] release: pairs with [end.look], [ended.look]
        //   What the tasks did. (All workers have announced that they sleep, by read-modify-writes of one word.)
        ended_.store(1, Env::release);
        Env::unpark(ended_, UINT32_MAX);
        sleepers_.add(size() * one_permit); // so that nobody falls asleep on the word as it was
        sleepers_.unpark(UINT32_MAX);
    }

    alignas(interference_size) const bool fast_ = Env::asymmetric();
    interest<Env> sleepers_; // read by every submit
    alignas(interference_size) atomic<std::uint32_t> ended_{0};
    atomic<std::uint32_t> dropping_{0};
    std::deque<worker> workers_; // a container whose elements stay where they are
    queue<node*, Env> intake_;
};

template <class Env>
bool crew<Env>::assist(promise<Env>& awaited) {
    worker* const self = own();
    if (awaited.is_ready()) {
        return true;
    }
    if (lane_core<Env>* const lane = awaited.from().lane; lane != nullptr) {
        if (lane->is_served_by(self)) {
            misuse(
                "a task waits for one that comes after it in its own lane, or for itself: neither would ever end. Wait "
                "outside of the lane, or let the later task do what follows.");
        }
        while (!awaited.is_ready() && lane->take_turn()) {
            lane->serve(fate_now(), &awaited);
        }
    } else if (auto top = self->tasks.try_pop(); top && *top == &awaited) {
        self->ended.add(1); // submitted last, the usual case: leaves no empty shell in the deque
        awaited.act(awaited, fate_now());
    } else {
        if (top) {
            self->tasks.push(*top); // where it lay: there is room
            look_for_sleepers();    // it was not to be seen meanwhile (K2)
        }
        awaited.end_here(fate_now());
    }
    return awaited.is_ready();
}

} // namespace epoque::core
