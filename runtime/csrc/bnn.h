/* The C ABI of the kernel library: runs the layer groups of a binary network on the CPU.
 *
 * A network is a sequence of layer groups, called parts here: stem, stage, transition, stage, ...,
 * head. A plain struct of pointers describes each part (bnn_stem, bnn_stage, bnn_transition,
 * bnn_head). It is prepared once for the active implementation into one flat, position-independent
 * block of memory that the caller owns. A prepared part is immutable: any number of threads may run
 * it, each with its own workspace. After preparation nothing is allocated.
 *
 * Conventions
 * - Bit 1 is +1, bit 0 is -1. A word is one little-endian uint32: channel i is bit i % 32 of word
 *   i / 32. Channels of a binary layer are a multiple of 32.
 * - binarize: bit = (x >= threshold) ^ flip, per channel. NaN compares false. A constant channel
 *   has threshold -inf or +inf.
 * - A binary convolution counts mismatches m in 0..K, K = 9 * channels; its result is the dot
 *   product K - 2 m.
 * - Tensors at the edge of a part are contiguous float32, [n, channels, height, width], or
 *   [n, classes] after the head.
 * - Float parts: every output is bias + sum of products, accumulated by fused multiply-adds in the
 *   order (channel in, row of the window, column of the window); taps that fall into the padding
 *   are multiplied as zeros. All implementations therefore agree bit for bit, on floats too.
 * - A stem's float convolutions with a 3x3 window and stride 1 go by Winograd's F(4, 3) down the
 *   rows instead. Four rows y0 .. y3 of outputs, from a row that is a multiple of 4, come from six
 *   padded rows d0 .. d5, those below the padding zeros. Column by column, in float32, fma rounded
 *   once, its first two operands multiplied:
 *     v0 = fma(81/64, d0, fma(-45/16, d2, d4))  v5 = fma(81/64, d1, fma(-45/16, d3, d5))
 *     v1 = fma(3/4, b, a), v2 = fma(-3/4, b, a)  a = fma(-9/4, d2, d4), b = fma(-9/4, d1, d3)
 *     v3 = fma(3/2, e, c), v4 = fma(-3/2, e, c)  c = fma(-9/16, d2, d4), e = fma(-9/16, d1, d3)
 *   The weights g0, g1, g2 of a column of the window become, in float64, rounded to float32 once:
 *     u0 = g0 / (81/64), u5 = g2
 *     u1, u2 = ((g0 + 9/16 g2) +- 3/4 g1) / -(243/128)
 *     u3, u4 = ((g0 + 9/4 g2) +- 3/2 g1) / (243/32)
 *   Six sums m of products u v are accumulated by fma in the order (channel in, column of the
 *   window), m0 and m5 from the bias, the others from 0:
 *     y0 = (m0 + p) + q                           p = m1 + m2, q = m3 + m4
 *     y1 = fma(3/2, s, fma(3/4, r, bias))         r = m1 - m2, s = m3 - m4
 *     y2 = fma(9/4, q, fma(9/16, p, bias))
 *     y3 = fma(27/8, s, fma(27/64, r, m5))
 *   The points 0, +-3/4, +-3/2 have smaller errors than the usual 0, +-1, +-2.
 * - 8-bit layers: an input x becomes the level q = round(clamp(x * inverse_step, 0, 255)), half to
 *   even, NaN is 0, in float32; an output is one fused multiply-add of the integer sum of
 *   q * weight, converted to float32, with scale and bias. Padding is level 0. These are the same
 *   everywhere, too, bit for bit.
 * - Prepared parts and workspaces are aligned to BNN_ALIGNMENT bytes.
 * - Every function returns a bnn_status; bnn_error() says what was expected, what was found and
 *   what to do.
 */
#ifndef BNN_H_
#define BNN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BNN_API __attribute__((visibility("default")))
#define BNN_ABI 4
/* Raised when the order of float operations changes, and with it the last bits of logits. 2: stems
 * by Winograd's F(4, 3). */
#define BNN_FLOAT_ORDER 2
#define BNN_ALIGNMENT 64

typedef enum {
  BNN_OK = 0,
  BNN_EARGUMENT = 1,    /* a pointer, shape or value that the function does not accept */
  BNN_EUNSUPPORTED = 2, /* wanted kernels are unknown, or this CPU cannot run them */
  BNN_ESTATE = 3,       /* a part prepared for another implementation, or other bytes */
  BNN_ESIZE = 4,        /* a buffer that is too small */
  BNN_ESYSTEM = 5       /* the system gave no memory or no thread */
} bnn_status;

/* ---- the library and its implementations ---- */

typedef struct {
  const char* name;     /* avx512, avx2, neon, generic */
  const char* features; /* CPU features it needs, for people: "AVX512F AVX512BW AVX512VPOPCNTDQ" */
  int32_t supported;    /* 1 if this CPU and its operating system can run it */
} bnn_implementation;

BNN_API int bnn_abi(void);
BNN_API int bnn_float_order(void);

/* This thread's last failure; valid until its next failing call. */
BNN_API const char* bnn_error(void);

/* The implementations compiled in, best first; generic is the last. */
BNN_API int bnn_implementations(const bnn_implementation** list, int32_t* count);

/* Makes an implementation the active one of the process. NULL: the one named by the environment
 * variable BNN_FORCE_IMPLEMENTATION, else the best supported. Parts prepared before stay tied to
 * their implementation. */
BNN_API int bnn_select(const char* name);

/* The active implementation's name; selects by bnn_select(NULL) on first use. NULL if that failed
 * (see bnn_error). A bnn_select that runs at the same time as the first use wins over it. */
BNN_API const char* bnn_active(void);

/* ---- single layers, for trainings, tests and benchmarks ---- */

/* x float [rows, channels], threshold [channels], flip [channels / 32] -> words [rows, channels /
 * 32] */
BNN_API int bnn_pack(const float* x, const float* threshold, const uint32_t* flip, int64_t rows,
                     int64_t channels, uint32_t* words);

/* Binary 3x3 convolution, stride 1, padding value -1, 0 or +1: x [n, height, width, channels / 32]
 * and weight [channels_out, 3, 3, channels / 32] -> mismatches [n, height, width, channels_out].
 * With padding 0 each tap outside the image adds channels / 2 mismatches, so that channels * 9 - 2
 * * mismatches is the dot product without it. Call with workspace NULL to learn *workspace_bytes.
 */
BNN_API int bnn_conv3x3(const uint32_t* x, const uint32_t* weight, int64_t n, int64_t height,
                        int64_t width, int64_t channels, int64_t channels_out, int32_t padding,
                        int32_t* mismatches, void* workspace, size_t* workspace_bytes);

/* ---- descriptions of parts ---- */

typedef struct {
  const uint32_t* weight; /* [growth, 3, 3, channels / 32] */
  /* [channels], on the values of the features: stage inputs and dot products */
  const float* threshold;
  const uint32_t* flip;   /* [channels / 32] */
  int32_t channels;       /* all channels present when this layer reads */
  int32_t is_improvement; /* 0: dense, the result is appended; 1: improvement, added to the last
                             `growth` channels */
} bnn_binary_layer;

typedef struct {
  int32_t channels_in, height, width;
  int32_t growth;  /* 64 */
  int32_t padding; /* -1, 0 or +1 */
  int32_t layer_count;
  const bnn_binary_layer* layers;
} bnn_stage;

typedef struct {
  int32_t kernel, stride;
  int32_t padding_before, padding_after; /* top and left, bottom and right */
} bnn_window;

/* Makes a convolution or dense layer an 8-bit one, see the conventions. All but weight is positive.
 */
typedef struct {
  const int8_t* weight; /* -127..127, in the shape of the float weight, which is not read */
  const float* scale;   /* [outputs] the value of one unit of the sum */
  float inverse_step;   /* of the input: levels per unit */
} bnn_int8;

typedef struct {
  const float* weight; /* [channels_out, channels_in / groups, kernel, kernel] */
  const float* bias;   /* [channels_out], or NULL for zeros */
  int32_t channels_in, channels_out, groups;
  bnn_window window;
  int32_t relu;
  /* NULL: float. Never in a stem's first convolution, whose input has a sign */
  const bnn_int8* int8;
} bnn_convolution;

typedef struct {
  int32_t height, width; /* of the image */
  int32_t convolution_count;
  const bnn_convolution* convolutions;
  bnn_window pool; /* max pool, padding never wins; kernel 0: none, whatever the other fields are */
} bnn_stem;

/* scale * x + shift (one fused multiply-add), max pool, ReLU, channel shuffle, 1x1 convolution */
typedef struct {
  const float* scale; /* [channels_in] */
  const float* shift; /* [channels_in] */
  int32_t height, width;
  bnn_window pool;
  int32_t shuffle_groups; /* 1: none */
  bnn_convolution convolution;
} bnn_transition;

/* scale * x + shift, ReLU, mean over all positions, dense layer with bias */
typedef struct {
  const float* scale;  /* [channels_in] */
  const float* shift;  /* [channels_in] */
  const float* weight; /* [classes, channels_in] */
  const float* bias;   /* [classes] */
  int32_t channels_in, height, width;
  int32_t classes;
  const bnn_int8* int8; /* of the dense layer; NULL: float */
} bnn_head;

/* ---- preparing and running parts ---- */

/* Validates a description and writes the prepared part for the active implementation. Call with
 * part NULL to learn *bytes, then with a buffer of that size. Nothing of the description is
 * referred to afterwards. */
BNN_API int bnn_stem_prepare(const bnn_stem* stem, void* part, size_t* bytes);
BNN_API int bnn_stage_prepare(const bnn_stage* stage, void* part, size_t* bytes);
BNN_API int bnn_transition_prepare(const bnn_transition* transition, void* part, size_t* bytes);
BNN_API int bnn_head_prepare(const bnn_head* head, void* part, size_t* bytes);

/* A stage runs as a whole in one kernel family, "popcount" or "sliced", chosen when it is prepared
 * from its shape and weights. The environment variable BNN_FORCE_KERNEL names one instead; "sliced"
 * then holds wherever the implementation and the shape permit it. */

typedef struct {
  const char* kind;           /* stem, stage, transition, head */
  const char* implementation; /* it was prepared for */
  int32_t input[3];           /* channels, height, width */
  int32_t output[3];          /* channels, height, width; classes, 1, 1 after the head */
  size_t workspace_bytes;     /* for one call of bnn_part_run, whatever n */
} bnn_part_info;

BNN_API int bnn_part_describe(const void* part, size_t bytes, bnn_part_info* info);

/* Which kernel family runs each layer, as a JSON array: [{"layer": "...", "kernel": "popcount"},
 * ...] */
BNN_API int bnn_part_report(const void* part, size_t bytes, char* json, size_t capacity);

/* x [n, input...] -> y [n, output...]. x and y must not overlap, nor may the workspace overlap
 * either. */
BNN_API int bnn_part_run(const void* part, size_t bytes, const float* x, int64_t n, float* y,
                         void* workspace, size_t workspace_bytes);

/* ---- networks ---- */

/* Threads that compute images together, or one image each. A pool for T threads starts T - 1: the
 * thread that calls is one of them. Calls share a pool: no more than T threads are at work in it,
 * further calls wait; a call gets more than one thread while no other one waits. A call of a child
 * process after a fork runs on its own thread alone. */
typedef struct bnn_pool bnn_pool;
BNN_API int bnn_pool_new(int32_t threads, bnn_pool** pool);
BNN_API void bnn_pool_free(bnn_pool* pool); /* when no call uses it */

typedef struct {
  const void* part;
  size_t bytes;
} bnn_part;

/* What bnn_network_run needs for one call that may use that many threads, for n images to run as
 * many together as pays. With less, as with that for one, it runs fewer together. */
BNN_API int bnn_network_workspace(const bnn_part* parts, int32_t count, int32_t threads, int64_t n,
                                  size_t* bytes);

/* Runs all parts in a row: x [n, input of the first...] -> y [n, output of the last...]. The same
 * bits as part by part, but faster: a stage whose transition pools 2x2 hands its counts over
 * without ever writing its output. Each image is computed by all threads that the call gets,
 * `threads` at most; pool NULL: by this one. x, y and workspace must not overlap. */
BNN_API int bnn_network_run(const bnn_part* parts, int32_t count, const float* x, int64_t n,
                            float* y, void* workspace, size_t workspace_bytes, bnn_pool* pool,
                            int32_t threads);

/* ---- images ---- */

enum { BNN_FILTER_AREA = 0, BNN_FILTER_BILINEAR = 1, BNN_FILTER_BICUBIC = 2 };

/* The section of an image that a network sees: the pixels in the box. */
typedef struct {
  const uint8_t* pixels; /* [height] rows of `width` pixels, row_bytes apart */
  int64_t row_bytes;
  int32_t width, height;
  int32_t pixel_bytes; /* 1: grey; 4: red, green, blue and one that is not looked at */
  int32_t filter;      /* BNN_FILTER_*; each averages where it shrinks */
  int32_t orientation; /* 1 to 8, EXIF's: how to turn what is seen */
  float box[4];        /* left, top, right, bottom, inside the image */
} bnn_view;

/* Resizes the pixels in the box to `side` x `side` pixels of 8 bits, the ones that Pillow's
 * Image.resize computes, turns it upright, and looks each pixel up: levels [3][256] -> out [3,
 * side, side]. Runs on the calling thread. Call with workspace NULL to learn *workspace_bytes;
 * pixels, levels and out may then be NULL. */
BNN_API int bnn_resize(const bnn_view* view, const float* levels, int32_t side, float* out,
                       void* workspace, size_t* workspace_bytes);

/* ---- measuring: rates of this CPU, for benchmarks; no other section depends on it ---- */

/* The phases of a part's time: to binarize floats; to spread bits or planes into the map
 * that a layer reads; to count, with what becomes of the counts; to write them as floats; to pool;
 * to multiply. NULL for other numbers than 0 .. BNN_PHASES - 1. */
#define BNN_PHASES 6
BNN_API const char* bnn_phase_name(int32_t phase);

/* Runs one image as bnn_network_run does on this thread; nanoseconds [count][BNN_PHASES]. */
BNN_API int bnn_network_profile(const bnn_part* parts, int32_t count, const float* x, float* y,
                                void* workspace, size_t workspace_bytes, double* nanoseconds);

/* A loop that uses registers alone, without loads and stores: no kernel made of these instructions
 * is faster. */
typedef struct {
  const char* name;      /* the instructions, for people: "running exclusive-or" */
  const char* operation; /* what they compute: "float MAC", "8-bit MAC", "binary MAC", "full adder"
                            of one bit */
  int64_t operations;    /* in one round of the loop */
} bnn_limit;

/* The loops known for the active implementation. */
BNN_API int bnn_limits(const bnn_limit** list, int32_t* count);

/* Nanoseconds of each of `runs` runs of `rounds` rounds of loop `index`. */
BNN_API int bnn_measure_limit(int32_t index, int64_t rounds, int32_t runs, double* nanoseconds);

typedef struct {
  const char* family; /* "popcount" or "sliced" */
  /* [runs] nanoseconds of the convolution alone: from the layer's bits (popcount: a packed map,
   * sliced: elements) to counts. */
  double* counting;
  /* [runs] nanoseconds with what surrounds it in a stage: as many comparisons with thresholds as
   * the layer has channels, the border, the spreading of planes into elements. */
  double* complete;
  int64_t full_adders; /* out: bits added by its lists' entries and classes; popcount: 0 */
} bnn_layer_timing;

/* Times one binary layer of 64 outputs, padding -1, on random bits in each of the families named,
 * in turns, each time after a run that is not timed. weight [64, 3, 3, channels / 32].
 * BNN_EUNSUPPORTED if a family does not take the layer. Call with workspace NULL to learn
 * *workspace_bytes. */
BNN_API int bnn_measure_layer(const uint32_t* weight, int32_t channels, int32_t height,
                              int32_t width, bnn_layer_timing* timings, int32_t timing_count,
                              int32_t runs, void* workspace, size_t* workspace_bytes);

#ifdef __cplusplus
}
#endif
#endif /* BNN_H_ */
