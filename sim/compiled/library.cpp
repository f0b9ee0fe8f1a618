// Drives a verilated design with arrays: samples and labels in, predictions out, register accesses
// beside them, and nothing but this loop in the cycle.  Built and called by sim/compiled/library.py.
//
// `Vdesign` is the chain (hw/chain.py) as Verilator makes it; `___05F` in its members' names stands
// for the double underscores of the ports.

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "Vdesign.h"
#include "streams.h"  // PREDICTIONS(X): X(name) for each stream of predictions, the network's first

namespace {

#define ONE_MORE(name) +1
constexpr int kStreams = 0 PREDICTIONS(ONE_MORE);

constexpr int kKindBits = 2;  // as hw.parts.streams.KIND_BITS; the label follows above
constexpr uint8_t kBubble = 0;

// A stream that this side offers or takes: in each cycle it waits with a chance of `stall` / 65536,
// but what was offered once stays so until it is taken.
struct Gate {
    uint64_t stall;
    uint64_t held;

    bool open(uint64_t& random) {
        if (stall == 0 || held) return true;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return ((random >> 32) & 0xffff) >= stall;
    }
};

// What is to be done and how far it has come; the layout of sim.compiled.library.Work.
struct Work {
    const uint8_t* kinds;  // [tokens]
    const int64_t* indices;  // [tokens] of samples
    const void* samples;  // [any, inputs], elements of element_bytes
    const uint8_t* labels;  // [any]
    const uint64_t* requests;  // [requests]
    uint64_t* responses;  // [requests]
    uint64_t* predictions;  // [streams][transfers][words]
    int64_t* predicted;  // [streams] transfers, beyond those expected too
    int64_t tokens;
    int64_t request_count;
    int64_t transfers;  // of each stream of predictions
    int64_t inputs;
    int64_t element_bits;
    int64_t element_bytes;  // 1 or 4
    Gate sample_gate;
    Gate label_gate;
    Gate prediction_gate;
    uint64_t random;
    int64_t labels_taken;  // tokens whose label the chain has taken
    int64_t samples_taken;  // tokens whose sample it has taken, bubbles included
    int64_t element;  // elements taken of the next sample
    int64_t requests_taken;
    int64_t responded;
    int64_t cycles;

    bool done() const {
        bool all = labels_taken == tokens && samples_taken == tokens && responded == request_count;
        for (int stream = 0; stream < kStreams; ++stream) all &= predicted[stream] >= transfers;
        return all;
    }

    void skip_bubbles() {
        while (samples_taken < tokens && kinds[samples_taken] == kBubble) ++samples_taken;
    }

    uint64_t sample() const {
        const int64_t place = indices[samples_taken] * inputs + element;
        const uint64_t value = element_bytes == 1 ? static_cast<const uint8_t*>(samples)[place]
                                                  : static_cast<const int32_t*>(samples)[place];
        const uint64_t mask = (uint64_t{1} << element_bits) - 1;
        const uint64_t first = element == 0, last = element == inputs - 1;
        return (value & mask) | first << element_bits | last << (element_bits + 1);
    }

    uint64_t label() const {
        const uint8_t kind = kinds[labels_taken];
        const uint64_t label = kind == kBubble ? 0 : labels[indices[labels_taken]];
        return kind | label << kKindBits;
    }
};

template <typename Port>
constexpr int words_of() {
    return (sizeof(Port) + 7) / 8;
}

template <typename Port>
void copy(uint64_t* words, const Port& port) {
    if constexpr (std::is_integral_v<Port>) {
        words[0] = port;
    } else {
        words[words_of<Port>() - 1] = 0;
        std::memcpy(words, port.data(), sizeof(Port));
    }
}

template <typename Port>
void take(Work& work, int stream, const Port& port) {
    const int64_t place = work.predicted[stream]++;
    if (place < work.transfers) {
        copy(work.predictions + (stream * work.transfers + place) * words_of<Port>(), port);
    }
}

struct Simulation {
    VerilatedContext context;
    Vdesign design{&context};

    // One clock cycle: offer, let it settle, note what is taken at the edge, clock.
    void cycle(Work& work) {
        bool offers_sample = false, offers_label = false;
        if (work.samples_taken < work.tokens) {
            offers_sample = work.sample_gate.open(work.random);
            design.samples___05Fpayload = work.sample();
        }
        if (work.labels_taken < work.tokens) {
            offers_label = work.label_gate.open(work.random);
            design.labels___05Fpayload = work.label();
        }
        const bool offers_request = work.requests_taken < work.request_count;
        if (offers_request) design.request___05Fpayload = work.requests[work.requests_taken];
        bool takes[kStreams];
        for (bool& one : takes) one = work.prediction_gate.open(work.random);
        design.samples___05Fvalid = offers_sample;
        design.labels___05Fvalid = offers_label;
        design.request___05Fvalid = offers_request;
        int stream = 0;
#define READY(name) design.name##___05Fready = takes[stream++];
        PREDICTIONS(READY)
        design.eval();
        if (offers_sample) {
            work.sample_gate.held = !design.samples___05Fready;
            if (design.samples___05Fready && ++work.element == work.inputs) {
                work.element = 0;
                ++work.samples_taken;
                work.skip_bubbles();
            }
        }
        if (offers_label) {
            work.label_gate.held = !design.labels___05Fready;
            work.labels_taken += design.labels___05Fready;
        }
        work.requests_taken += offers_request && design.request___05Fready;
        stream = 0;
#define TAKE(name)                                                      \
    if (takes[stream] && design.name##___05Fvalid) {                    \
        take(work, stream, design.name##___05Fpayload);                 \
    }                                                                   \
    ++stream;
        PREDICTIONS(TAKE)
        if (design.response & 1) {
            if (work.responded < work.request_count) work.responses[work.responded] = design.response;
            ++work.responded;
        }
        design.clk = 1;
        design.eval();
        design.clk = 0;
        ++work.cycles;
    }
};

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void* counterflow_open() { return new Simulation; }

__attribute__((visibility("default"))) void counterflow_close(void* simulation) {
    static_cast<Simulation*>(simulation)->design.final();
    delete static_cast<Simulation*>(simulation);
}

// At most `cycles` cycles, fewer if the work is done before and `stop` is not zero.
__attribute__((visibility("default"))) void counterflow_drive(void* simulation, Work* work,
                                                              int64_t cycles, int64_t stop) {
    work->skip_bubbles();
    for (; cycles > 0 && !(stop && work->done()); --cycles) {
        static_cast<Simulation*>(simulation)->cycle(*work);
    }
}
}
