// Counts how often each block of code runs under QEMU, and writes what ran between two marks.
//
// A mark is the system call getpgid of a process number that no system gives: kMark and the mark's
// own number below it. At each one the file gets a line "mark N", then a line for each block that
// has run since the mark before: its address, its runs, the bytes of its instructions, in
// hexadecimal, decimal, hexadecimal. What runs before the first mark is dropped. Counts are exact
// for programs of one thread.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What is used of qemu-plugin.h, version 1, which Debian 12 does not package.
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*tb_trans)(qemu_plugin_id_t, struct qemu_plugin_tb*);
typedef void (*vcpu_syscall)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                             uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_trans);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, vcpu_syscall);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, int op, void* counter,
                                              uint64_t add);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb*);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { kAdd = 0, kGetpgid = 155, kWord = 4 };
static const uint64_t kMark = 0x7f420000, kNumber = 0xffff;

struct block {
  struct block* next;
  uint64_t runs, address, instructions;
  uint8_t code[];
};

static struct block* blocks;
static FILE* file;
static int is_open;  // after the first mark

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
  (void)id;
  const size_t count = qemu_plugin_tb_n_insns(tb);
  struct block* block = calloc(1, sizeof *block + count * kWord);
  if (block == NULL) abort();
  block->address = qemu_plugin_tb_vaddr(tb);
  block->instructions = count;
  for (size_t i = 0; i < count; ++i) {
    memcpy(block->code + i * kWord, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), kWord);
  }
  block->next = blocks;
  blocks = block;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, kAdd, &block->runs, 1);
}

static void call(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2,
                 uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != kGetpgid || (a1 & ~kNumber) != kMark) return;
  fprintf(file, "mark %u\n", (unsigned)(a1 & kNumber));
  for (struct block* block = blocks; block != NULL; block = block->next) {
    if (is_open && block->runs > 0) {
      fprintf(file, "%llx %llu ", (unsigned long long)block->address,
              (unsigned long long)block->runs);
      for (uint64_t i = 0; i < block->instructions * kWord; ++i)
        fprintf(file, "%02x", block->code[i]);
      fputc('\n', file);
    }
    block->runs = 0;
  }
  is_open = 1;
  if (fflush(file) != 0) abort();
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const void* info, int argc,
                                                               char** argv) {
  (void)info;
  if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || (file = fopen(argv[0] + 4, "w")) == NULL) {
    fprintf(stderr, "expected a file that can be written, as out=FILE\n");
    return -1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_vcpu_syscall_cb(id, call);
  return 0;
}
