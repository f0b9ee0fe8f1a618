// Drives a board's Verilog by its serial pins, compiled together with what Verilator makes of it.

#include <cstdint>
#include <deque>

#include "Vdesign.h"

namespace {

constexpr int kFrameBits = 10;  // start, eight data bits, stop

// Bytes onto the line, lowest bit first; the line is high at rest.
struct Talker {
    int64_t divisor;
    std::deque<uint8_t> waiting;
    uint32_t frame = 0;
    int bits = 0;
    int64_t timer = 0;

    bool level() {
        if (timer == 0) {
            if (bits == 0 && !waiting.empty()) {
                frame = uint32_t{waiting.front()} << 1 | 1u << (kFrameBits - 1);
                waiting.pop_front();
                bits = kFrameBits;
            } else if (bits) {
                frame >>= 1;
                --bits;
                if (bits == 0) return level();
            }
            if (bits) timer = divisor;
        }
        if (timer) --timer;
        return bits == 0 || (frame & 1);
    }

    bool idle() const { return bits == 0 && waiting.empty(); }
};

// Bytes off the line, each bit looked at in its middle.
struct Listener {
    int64_t divisor;
    int bits = 0;
    int64_t timer = 0;
    uint32_t frame = 0;

    // Whether a byte ended in this cycle; it is then in `frame`.
    bool look(bool level) {
        if (bits == 0) {
            if (level) return false;
            bits = kFrameBits;
            timer = divisor / 2;
            frame = 0;
            return false;
        }
        if (--timer) return false;
        timer = divisor;
        --bits;
        frame |= uint32_t{level} << (kFrameBits - 1 - bits);
        if (bits) return false;
        const bool good = !(frame & 1) && (frame >> (kFrameBits - 1) & 1);
        frame = frame >> 1 & 0xff;
        return good;
    }
};

struct Board {
    VerilatedContext context;
    Vdesign design{&context};
    Talker talker;
    Listener listener;
    int64_t cycles = 0;

    explicit Board(int64_t divisor) : talker{divisor}, listener{divisor} {}
};

}  // namespace

// What `board_run` is asked for and what came of it; the layout of sim.boards.board.Step.
struct Step {
    const uint8_t* given;  // bytes for the line, behind those that still wait
    int64_t given_count;
    uint8_t* found;  // bytes off the line
    int64_t found_room;
    int64_t found_count;
    int64_t waiting;  // bytes that are not yet on the line
    int64_t cycles;  // since power-on
    int64_t lamps;  // alive, training, error: lowest first
};

extern "C" {

__attribute__((visibility("default"))) void* board_open(int64_t divisor) {
    return new Board(divisor);
}

__attribute__((visibility("default"))) void board_close(void* board) {
    static_cast<Board*>(board)->design.final();
    delete static_cast<Board*>(board);
}

// `cycles` clock cycles, fewer where `found` is full.
__attribute__((visibility("default"))) void board_run(void* handle, Step* step, int64_t cycles) {
    Board& board = *static_cast<Board*>(handle);
    Vdesign& design = board.design;
    for (int64_t at = 0; at < step->given_count; ++at) board.talker.waiting.push_back(step->given[at]);
    step->found_count = 0;
    for (; cycles > 0 && step->found_count < step->found_room; --cycles) {
        design.rx = board.talker.level();
        design.clk = 0;
        design.eval();
        design.clk = 1;
        design.eval();
        ++board.cycles;
        if (board.listener.look(design.tx)) {
            step->found[step->found_count++] = static_cast<uint8_t>(board.listener.frame);
        }
    }
    step->waiting = board.talker.waiting.size() + (board.talker.bits != 0);
    step->cycles = board.cycles;
    step->lamps = design.alive | design.training << 1 | design.error << 2;
}
}
