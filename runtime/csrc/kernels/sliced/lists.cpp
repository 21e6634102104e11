// Spreads the elements of a group of outputs over classes of equal size and writes their lists.
//
// An element is one channel at one tap. Its code in a group has one bit per output: the weight. All
// elements of one code are a class, counted once for all outputs of the group; code 0 is not
// counted. Two exact devices make the classes equal, whatever the weights: an output may count its
// zeros instead of its ones (the mask turns its bit of all codes), and an element may be entered as
// two codes without a common bit that together make up its own.
#include "kernels/sliced/lists.h"

#include <string.h>

#include "core/kernels.h"

namespace bnn {
namespace {

constexpr int kSizeStep = 4;     // class sizes are multiples of it
constexpr int kSmallSteps = 16;  // sizes tried in steps of kSizeStep before the steps grow

int bit_count(int code) { return __builtin_popcount(static_cast<unsigned>(code)); }

// Byte i of the result is bit i of x.
uint64_t spread_bits(uint32_t x) {
  const uint64_t bits = (x * 0x0101010101010101u) & 0x8040201008040201u;
  return ((((bits & 0x7f7f7f7f7f7f7f7fu) + 0x7f7f7f7f7f7f7f7fu) | bits) >> 7) & 0x0101010101010101u;
}

// The codes, without mask, of the 32 elements of one word.
void gather_codes(const uint32_t* weight, int64_t words, int32_t first, int32_t outputs,
                  int64_t word, uint8_t* codes) {
  uint64_t eights[4] = {};
  for (int32_t k = 0; k < outputs; ++k) {
    const uint32_t bits = weight[(first + k) * kTaps * words + word];
    for (int i = 0; i < 4; ++i) eights[i] |= spread_bits((bits >> 8 * i) & 0xff) << k;
  }
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(eights[i / 8] >> i % 8 * 8);
}

// The two codes that make up `code` and have most room, the smaller one of them; 0: none has room.
int find_split(int code, const int* spare) {
  int best = 0, most = 0;
  for (int a = (code - 1) & code; a > 0; a = (a - 1) & code) {
    const int b = code ^ a;
    if (a > b) continue;
    const int low = spare[a] < spare[b] ? spare[a] : spare[b];
    const int room = low > 0 ? low * 1024 + spare[a] + spare[b] : 0;
    if (room > most) {
      best = a;
      most = room;
    }
  }
  return best;
}

// Tries to fit plan->count into classes of plan->size; fills plan->split.
bool fit_classes(GroupPlan* plan) {
  const int classes = 1 << plan->outputs;
  int spare[kClassesMost];
  int room = 0, excess = 0;
  for (int code = 1; code < classes; ++code) {
    spare[code] = plan->size - plan->count[code];
    if (spare[code] >= 0) {
      room += spare[code];
    } else {
      if (bit_count(code) == 1) return false;
      excess -= spare[code];
    }
  }
  if (room < 2 * excess) return false;
  memset(plan->split, 0, sizeof plan->split);
  for (int bits = 2; bits <= plan->outputs; ++bits) {  // fewest choices first
    for (int code = 1; code < classes; ++code) {
      if (bit_count(code) != bits) continue;
      for (; spare[code] < 0; ++spare[code]) {
        const int a = find_split(code, spare);
        if (a == 0) return false;
        ++plan->split[code][a];
        --spare[a];
        --spare[code ^ a];
      }
    }
  }
  return true;
}

// The order in which the kernels count: quads of classes by the Gray code of the upper bits, those
// with upper bits 0 last; inside a quad 01, 11, 10, 00.
int64_t class_position(int code, int32_t outputs) {
  static const int kInQuad[4] = {3, 0, 2, 1};
  int step = 0;  // upper == step ^ step >> 1
  for (int upper = code >> 2; upper > 0; upper >>= 1) step ^= upper;
  return (step == 0 ? (1 << (outputs - 2)) - 1 : step - 1) * 4 + kInQuad[code & 3];
}

}  // namespace

void plan_group(const uint32_t* weight, int64_t words, int32_t first, int32_t outputs,
                GroupPlan* plan) {
  const int classes = 1 << outputs;
  int count[kClassesMost] = {};
  for (int64_t word = 0; word < kTaps * words; ++word) {
    uint8_t codes[32];
    gather_codes(weight, words, first, outputs, word, codes);
    for (const uint8_t code : codes) ++count[code];
  }
  int largest = 0;
  for (int code = 0; code < classes; ++code)
    largest = count[code] > largest ? count[code] : largest;
  const int counted = static_cast<int>(kTaps * words) * 32 - largest;  // at least
  int size = (counted / (classes - 1) + kSizeStep - 1) / kSizeStep * kSizeStep;
  if (size == 0) size = kSizeStep;
  plan->outputs = outputs;
  for (int tries = 0;; ++tries) {  // ends at the latest when every class fits as it is
    plan->size = size;
    for (int mask = 0; mask < classes; ++mask) {
      plan->mask = static_cast<uint32_t>(mask);
      for (int code = 0; code < classes; ++code)
        plan->count[code] = static_cast<uint16_t>(count[code ^ mask]);
      if (fit_classes(plan)) return;
    }
    size += tries < kSmallSteps ? kSizeStep : (size / 8 + kSizeStep) / kSizeStep * kSizeStep;
  }
}

bool write_group(const uint32_t* weight, int64_t words, int32_t first, const GroupPlan& plan,
                 const ElementOrder& order, uint16_t* entries) {
  bool fits = true;
  const int32_t early = first_part(plan.size);
  const auto put = [&](int64_t code, int32_t place, int64_t entry) {
    const int64_t held = place < early ? entry : entry - order.later;
    fits = fits && held >= 0 && held <= UINT16_MAX;
    entries[class_position(static_cast<int>(code), plan.outputs) * plan.size + place] =
        static_cast<uint16_t>(held);
  };
  int whole[kClassesMost];  // elements that still go to their own class
  int next[kClassesMost];   // then: the split in use, by its smaller code
  int used[kClassesMost];   // and how often it was used
  int filled[kClassesMost];
  for (int code = 0; code < 1 << plan.outputs; ++code) {
    whole[code] = plan.count[code] < plan.size ? plan.count[code] : plan.size;
    next[code] = used[code] = filled[code] = 0;
  }
  const auto enter = [&](int code, int64_t entry) { put(code, filled[code]++, entry); };
  const auto enter_word = [&](int64_t dy, int64_t word) {
    uint8_t codes[3][32];
    for (int64_t dx = 0; dx < 3; ++dx)
      gather_codes(weight, words, first, plan.outputs, (dy * 3 + dx) * words + word, codes[dx]);
    for (int bit = 0; bit < 32; ++bit) {
      for (int64_t dx = 0; dx < 3; ++dx) {
        const int code = codes[dx][bit] ^ static_cast<int>(plan.mask);
        if (code == 0) continue;
        const int64_t entry = dy * order.row + (3 * (word * 32 + bit) + dx) * order.plane;
        if (whole[code] > 0) {
          --whole[code];
          enter(code, entry);
          continue;
        }
        while (used[code] == plan.split[code][next[code]]) {
          ++next[code];
          used[code] = 0;
        }
        ++used[code];
        enter(next[code], entry);
        enter(code ^ next[code], entry);
      }
    }
  };
  // In the order of memory.
  const bool rows_first = order.row > order.plane;
  const int64_t outer = rows_first ? 3 : words, inner = rows_first ? words : 3;
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t k = 0; k < inner; ++k) enter_word(rows_first ? i : k, rows_first ? k : i);
  }
  for (int code = 1; code < 1 << plan.outputs; ++code) {
    while (filled[code] < plan.size) enter(code, order.zero);
  }
  return fits;
}

}  // namespace bnn
