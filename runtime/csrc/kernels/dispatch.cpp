// Which implementations exist, which of them this CPU can run, which one is active.
#include "kernels/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "core/status.h"
#include "kernels/popcount/tables.h"

namespace bnn {
namespace {

struct Entry {
  const Kernels* kernels;
  bool (*supported)();
};

bool always() { return true; }

#if defined(__x86_64__)
// The compiler's feature test looks at CPUID and at the register state that the operating system
// saves.
bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
#if defined(BNN_EMULATE_AVX512)
  return has_avx2();  // what core/emulated_avx512.h is compiled for
#else
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq") &&
         __builtin_cpu_supports("gfni") && has_avx2();
#endif
}
#endif

#if defined(__aarch64__)
bool has_dot_products() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__ARM_FEATURE_DOTPROD)
  return true;
#else
  return false;  // this system's way to ask is not known here
#endif
}
#endif

// Best first. A new implementation is one line here.
const Entry kTable[] = {
#if defined(__x86_64__)
    {&kAvx512Kernels, has_avx512},
    {&kAvx2Kernels, has_avx2},
#elif defined(__aarch64__)
    {&kNeonDotKernels, has_dot_products},
    {&kNeonKernels, always},  // Advanced SIMD is part of the architecture's baseline
#endif
    {&kGenericKernels, always},
};
constexpr int kCount = static_cast<int>(sizeof kTable / sizeof kTable[0]);

// Filled while the library is loaded, before any thread can ask for it; only read afterwards.
bnn_implementation implementations[kCount];

__attribute__((constructor)) void fill_implementations() {
  for (int i = 0; i < kCount; ++i) {
    implementations[i] = {kTable[i].kernels->name, kTable[i].kernels->features,
                          kTable[i].supported() ? 1 : 0};
  }
}

const Kernels* active = nullptr;

// "avx512, avx2, generic": what this CPU can run
void list_available(char* text, size_t capacity) {
  text[0] = '\0';
  for (const Entry& entry : kTable) {
    if (!entry.supported()) continue;
    const size_t used = strlen(text);
    snprintf(text + used, capacity - used, "%s%s", used ? ", " : "", entry.kernels->name);
  }
}

// The implementation that bnn_select(name) asks for. NULL after a failure, which is then in
// bnn_error().
const Kernels* choose(const char* name) {
  const char* origin = "bnn_select";
  if (name == nullptr) {
    name = getenv("BNN_FORCE_IMPLEMENTATION");
    origin = "BNN_FORCE_IMPLEMENTATION";
    if (name != nullptr && name[0] == '\0') name = nullptr;
  }
  for (const Entry& entry : kTable) {
    if (name != nullptr && strcmp(entry.kernels->name, name) != 0) continue;
    if (entry.supported()) return entry.kernels;
    if (name != nullptr) break;
  }
  char available[128];
  list_available(available, sizeof available);
  bool known = false;
  for (const Entry& entry : kTable) known = known || strcmp(entry.kernels->name, name) == 0;
  fail(BNN_EUNSUPPORTED, "%s: '%.40s' %s; available here: %s", origin, name,
       known ? "needs CPU features that this machine lacks" : "is no implementation of this build",
       available);
  return nullptr;
}

}  // namespace

const Kernels* find_kernels(const char* name) {
  for (const Entry& entry : kTable) {
    if (strcmp(entry.kernels->name, name) == 0) return entry.supported() ? entry.kernels : nullptr;
  }
  return nullptr;
}

const Kernels* active_kernels() {
  const Kernels* kernels = __atomic_load_n(&active, __ATOMIC_ACQUIRE);
  if (kernels != nullptr) return kernels;
  const Kernels* chosen = choose(nullptr);
  // Another thread may have selected meanwhile: what it named stays, and is what this call sees.
  if (chosen == nullptr) return __atomic_load_n(&active, __ATOMIC_ACQUIRE);
  return __atomic_compare_exchange_n(&active, &kernels, chosen, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)
             ? chosen
             : kernels;
}

}  // namespace bnn

int bnn_abi(void) { return BNN_ABI; }

int bnn_float_order(void) { return BNN_FLOAT_ORDER; }

int bnn_implementations(const bnn_implementation** list, int32_t* count) {
  using namespace bnn;
  if (list == nullptr || count == nullptr) {
    return fail(BNN_EARGUMENT, "bnn_implementations: expected two pointers, found NULL");
  }
  *list = implementations;
  *count = kCount;
  return BNN_OK;
}

int bnn_select(const char* name) {
  const bnn::Kernels* kernels = bnn::choose(name);
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  __atomic_store_n(&bnn::active, kernels, __ATOMIC_RELEASE);
  return BNN_OK;
}

const char* bnn_active(void) {
  const bnn::Kernels* kernels = bnn::active_kernels();
  return kernels == nullptr ? nullptr : kernels->name;
}
