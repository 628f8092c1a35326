// SPDX-License-Identifier: BSL-1.0
/// @file
/// The crews of `echo`: senders, movers and receivers of messages.
#include "crew.hpp"

#include <chrono>
#include <span>
#include <utility>

namespace {

constexpr std::size_t largest_batch = 256;

std::uint64_t seal(std::uint32_t producer, std::uint64_t sequence) noexcept {
    return crosslang::dice(sequence ^ (static_cast<std::uint64_t>(producer) << 40)).roll();
}

bool is_sealed(const xl_message& message) noexcept {
    return message.seal == seal(message.producer, message.sequence);
}

std::string torn(const xl_message& message) {
    return "a message says that it is number " + std::to_string(message.sequence) + " of producer " +
           std::to_string(message.producer) + ", and its seal does not fit: torn or overwritten";
}

class senders final : public xl_crew {
  public:
    senders(std::uint64_t queue, const xl_plan& plan) : xl_crew(plan), queue_{queue} {}

  private:
    void work(std::uint32_t index) override;

    epq_queue queue_;
};

void senders::work(std::uint32_t index) {
    crosslang::dice random = dice_for(index);
    std::vector<xl_message> batch;
    batch.reserve(largest_batch);
    std::uint64_t sequence = 0;
    while (!stopped()) {
        if (random.roll() % 1024 == 0) { // a lull, so that the receivers fall asleep now and then
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        wait_for_room(queue_);
        const std::size_t wanted = random.up_to(largest_batch);
        batch.clear();
        for (std::size_t i = 0; i < wanted; ++i) {
            batch.push_back({sequence + i, 0, index, 0, seal(index, sequence + i)});
        }
        const std::size_t sent = send_all(queue_, batch.data(), sizeof(xl_message), wanted);
        sequence += sent;
        count(index, sent, sent * sizeof(xl_message));
        if (sent < wanted) {
            return;
        }
    }
}

class movers final : public xl_crew {
  public:
    movers(std::uint64_t from, std::uint64_t to, const xl_plan& plan) : xl_crew(plan), from_{from}, to_{to} {}

  private:
    void work(std::uint32_t index) override;

    epq_queue from_;
    epq_queue to_;
};

void movers::work(std::uint32_t index) {
    crosslang::dice random = dice_for(index);
    crosslang::witness witness(book(), book().producers());
    std::uint64_t hop_sequence = 0;
    const auto receive = [this](auto... arguments) { return epq_queue_recv_n(from_, arguments...); };
    receive_all<xl_message>("epq_queue_recv_n", random, receive, [&](xl_message* messages, std::size_t number) {
        for (xl_message& message : std::span(messages, number)) {
            if (!is_sealed(message)) {
                witness.foreign(torn(message));
            } else if (witness.arrived(message.producer, message.sequence)) {
                witness.in_order(message.producer, message.sequence);
            }
            message.mover = index;
            message.hop_sequence = hop_sequence++;
        }
        wait_for_room(to_);
        const std::size_t sent = send_all(to_, messages, sizeof(xl_message), number);
        count(index, sent, sent * sizeof(xl_message));
        if (sent < number) {
            fail("the second queue was closed while the first still had messages");
        }
        return sent == number;
    });
    witness.finish();
}

class receivers final : public xl_crew {
  public:
    receivers(std::uint64_t queue, const xl_plan& plan, std::uint32_t movers)
        : xl_crew(plan), queue_{queue}, movers_(movers) {}

  private:
    void work(std::uint32_t index) override;

    epq_queue queue_;
    std::uint32_t movers_;
};

void receivers::work(std::uint32_t index) {
    crosslang::dice random = dice_for(index);
    crosslang::witness witness(book(), movers_);
    const auto receive = [this](auto... arguments) { return epq_queue_recv_n(queue_, arguments...); };
    receive_all<xl_message>("epq_queue_recv_n", random, receive, [&](const xl_message* messages, std::size_t number) {
        for (const xl_message& message : std::span(messages, number)) {
            if (!is_sealed(message)) {
                witness.foreign(torn(message));
            } else if (witness.arrived(message.producer, message.sequence)) {
                witness.in_order(message.mover, message.hop_sequence);
            }
        }
        count(index, number, number * sizeof(xl_message));
        return true;
    });
    witness.finish();
}

} // namespace

extern "C" {

xl_crew* xl_senders_start(uint64_t queue, const xl_plan* plan, xl_trouble* trouble) {
    return crosslang::start_crew(*trouble, [&] { return std::make_unique<senders>(queue, *plan); });
}

xl_crew* xl_movers_start(uint64_t from, uint64_t to, const xl_plan* plan, xl_trouble* trouble) {
    return crosslang::start_crew(*trouble, [&] { return std::make_unique<movers>(from, to, *plan); });
}

xl_crew* xl_receivers_start(uint64_t queue, const xl_plan* plan, uint32_t movers, xl_trouble* trouble) {
    return crosslang::start_crew(*trouble, [&] { return std::make_unique<receivers>(queue, *plan, movers); });
}

uint64_t xl_seal(uint32_t producer, uint64_t sequence) {
    return seal(producer, sequence);
}

} // extern "C"
