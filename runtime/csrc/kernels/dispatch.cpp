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
#include "kernels/choice.h"
#include "kernels/popcount/tables.h"

namespace bnn {
namespace {

#if defined(__x86_64__)
constexpr Machine kMachine = Machine::kX86;

// The compiler's feature test looks at CPUID and at the register state that the operating system
// saves.
uint32_t read_features() {
  __builtin_cpu_init();
  uint32_t found = 0;
  if (__builtin_cpu_supports("avx2")) found |= kAvx2;
  if (__builtin_cpu_supports("fma")) found |= kFma;
#if defined(BNN_EMULATE_AVX512)
  const uint32_t needed = kAvx2 | kFma;  // what core/emulated_avx512.h is compiled for
  if ((found & needed) == needed) found = ~0u;
#else
  if (__builtin_cpu_supports("avx512f")) found |= kAvx512F;
  if (__builtin_cpu_supports("avx512bw")) found |= kAvx512Bw;
  if (__builtin_cpu_supports("avx512vl")) found |= kAvx512Vl;
  if (__builtin_cpu_supports("avx512vbmi")) found |= kAvx512Vbmi;
  if (__builtin_cpu_supports("avx512vnni")) found |= kAvx512Vnni;
  if (__builtin_cpu_supports("avx512vpopcntdq")) found |= kAvx512Vpopcntdq;
  if (__builtin_cpu_supports("gfni")) found |= kGfni;
#endif
  return found;
}
#elif defined(__aarch64__)
constexpr Machine kMachine = Machine::kArm;

uint32_t read_features() {
#if defined(__linux__)
  const bool has_dot_products = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  return has_dot_products ? uint32_t{kDotProducts} : 0;
#elif defined(__ARM_FEATURE_DOTPROD)
  return kDotProducts;
#else
  return 0;  // this system's way to ask is not known here
#endif
}
#else
constexpr Machine kMachine = Machine::kOther;

uint32_t read_features() { return 0; }
#endif

// Best first, as in kernels/choice.cpp. A new implementation is one line here and one there.
const Kernels* const kTable[] = {
#if defined(__x86_64__)
    &kAvx512Kernels,
    &kAvx2Kernels,
#elif defined(__aarch64__)
    &kNeonDotKernels,
    &kNeonKernels,
#endif
    &kGenericKernels,
};
constexpr int kCount = static_cast<int>(sizeof kTable / sizeof kTable[0]);

// Filled while the library is loaded, before any thread can ask for it; only read afterwards.
uint32_t features;
bnn_implementation implementations[kCount];

__attribute__((constructor)) void fill_implementations() {
  features = read_features();
  for (int i = 0; i < kCount; ++i) {
    const char* name = kTable[i]->name;
    implementations[i] = {name, kTable[i]->features,
                          choose_implementation(kMachine, features, name) != nullptr ? 1 : 0};
  }
}

const Kernels* active = nullptr;

// "avx512, avx2, generic": what this CPU can run
void list_available(char* text, size_t capacity) {
  text[0] = '\0';
  for (const bnn_implementation& entry : implementations) {
    if (!entry.supported) continue;
    const size_t used = strlen(text);
    snprintf(text + used, capacity - used, "%s%s", used ? ", " : "", entry.name);
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
  const ImplementationRule* rule = choose_implementation(kMachine, features, name);
  if (rule != nullptr) return find_kernels(rule->name);
  char available[128];
  list_available(available, sizeof available);
  bool known = false;
  for (const Kernels* kernels : kTable) known = known || strcmp(kernels->name, name) == 0;
  fail(BNN_EUNSUPPORTED, "%s: '%.40s' %s; available here: %s", origin, name,
       known ? "needs CPU features that this machine lacks" : "is no implementation of this build",
       available);
  return nullptr;
}

}  // namespace

const Kernels* find_kernels(const char* name) {
  for (int i = 0; i < kCount; ++i) {
    if (strcmp(kTable[i]->name, name) == 0)
      return implementations[i].supported ? kTable[i] : nullptr;
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
