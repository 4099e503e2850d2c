// attention_bf16: O = softmax(Q K^T / 8) V for one head of size 64: rows of Q, K, V and O are 64 long, Q, K, V in bfloat16,
// O in single precision; queries and keys are multiples of 64.
// Architectures: sm_80 sm_86 sm_89 sm_90 sm_100 sm_120
//
// A block of four warps takes 64 queries, a warp 16 of them, and walks over the keys 64 at a time: scores by mma.sync,
// softmax on the fly (running maximum and sum of each row, rescaled when the maximum grows), and the product with V,
// for which the scores stay in registers: the accumulator of one product has the layout of a factor of the next.
// Rows of the tiles are padded by 16 bytes, so that the eight rows of a matrix lie in different banks.
//
// Launch:     block = 128; grid = queries / 64.
// Arguments:  0  keys  int
//             1  q     const bfloat16[queries * 64]
//             2  k     const bfloat16[keys * 64]
//             3  v     const bfloat16[keys * 64]
//             4  o     float[queries * 64], output

#include <cuda_bf16.h>

constexpr int TILE = 64; // queries a block, keys a step
constexpr int HEAD = 64;
constexpr int PADDING = 8;
constexpr int THREADS = 128;
constexpr float LOG2_E = 1.44269504f;
constexpr float SCALE = 0.125f * LOG2_E; // 1 / sqrt(64); exponentials are powers of two

using Tile = __nv_bfloat16[TILE][HEAD + PADDING];

__device__ void fetch(Tile &tile, const __nv_bfloat16 *from)
{
#pragma unroll
    for (int i = 0; i < TILE * HEAD / (THREADS * 8); ++i) {
        int at = (i * THREADS + threadIdx.x) * 8;
        *reinterpret_cast<uint4 *>(&tile[at / HEAD][at % HEAD]) = *reinterpret_cast<const uint4 *>(&from[at]);
    }
}

__device__ void load_four(unsigned (&to)[4], const __nv_bfloat16 *row)
{
    unsigned address = __cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address));
}

__device__ void load_four_transposed(unsigned (&to)[4], const __nv_bfloat16 *row)
{
    unsigned address = __cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address));
}

__device__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ unsigned pack(float low, float high)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<unsigned *>(&pair);
}

__device__ float power_of_two(float exponent)
{
    float value;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(exponent));
    return value;
}

// Over the four lanes that share a row.
__device__ float row_max(float value)
{
    value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, 1));
    return fmaxf(value, __shfl_xor_sync(0xffffffff, value, 2));
}

__device__ float row_sum(float value)
{
    value += __shfl_xor_sync(0xffffffff, value, 1);
    return value + __shfl_xor_sync(0xffffffff, value, 2);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    attention_bf16(int keys, const __nv_bfloat16 *__restrict__ q, const __nv_bfloat16 *__restrict__ k,
                   const __nv_bfloat16 *__restrict__ v, float *__restrict__ o)
{
    __shared__ __align__(16) Tile k_tile, v_tile;

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const size_t row0 = (size_t)blockIdx.x * TILE;

    // The queries stay in registers; they come through the tile of the keys.
    unsigned q_part[HEAD / 16][4];
    fetch(k_tile, q + row0 * HEAD);
    __syncthreads();
#pragma unroll
    for (int step = 0; step < HEAD / 16; ++step)
        load_four(q_part[step], &k_tile[16 * warp + lane % 16][16 * step + lane / 16 * 8]);
    __syncthreads();

    // A lane holds columns 2 * (lane % 4) and the next of rows lane / 4 and lane / 4 + 8, eight columns apart.
    float out[HEAD / 8][4] = {};
    float largest[2] = {-1e30f, -1e30f}, total[2] = {};

#pragma unroll 1
    for (int key0 = 0; key0 < keys; key0 += TILE) {
        fetch(k_tile, k + (size_t)key0 * HEAD);
        fetch(v_tile, v + (size_t)key0 * HEAD);
        __syncthreads();

        float score[TILE / 8][4] = {};
#pragma unroll
        for (int step = 0; step < HEAD / 16; ++step)
#pragma unroll
            for (int j = 0; j < TILE / 16; ++j) {
                unsigned part[4]; // keys 0-7 at both halves of the step, then keys 8-15
                load_four(part, &k_tile[16 * j + lane % 8 + lane / 16 * 8][16 * step + lane / 8 % 2 * 8]);
                multiply(score[2 * j], q_part[step], part[0], part[1]);
                multiply(score[2 * j + 1], q_part[step], part[2], part[3]);
            }

#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float now = largest[half];
#pragma unroll
            for (int j = 0; j < TILE / 8; ++j)
                now = fmaxf(now, fmaxf(score[j][2 * half], score[j][2 * half + 1]));
            now = row_max(now);
            float shrink = power_of_two((largest[half] - now) * SCALE);
            largest[half] = now;
            float sum = 0.0f;
#pragma unroll
            for (int j = 0; j < TILE / 8; ++j)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    score[j][i] = power_of_two(score[j][i] * SCALE - now * SCALE);
                    sum += score[j][i];
                }
            total[half] = total[half] * shrink + sum;
#pragma unroll
            for (int j = 0; j < HEAD / 8; ++j) {
                out[j][2 * half] *= shrink;
                out[j][2 * half + 1] *= shrink;
            }
        }

#pragma unroll
        for (int step = 0; step < TILE / 16; ++step) {
            unsigned p_part[4] = {
                pack(score[2 * step][0], score[2 * step][1]), pack(score[2 * step][2], score[2 * step][3]),
                pack(score[2 * step + 1][0], score[2 * step + 1][1]), pack(score[2 * step + 1][2], score[2 * step + 1][3])};
#pragma unroll
            for (int j = 0; j < HEAD / 16; ++j) {
                unsigned part[4]; // both halves of the keys at columns 0-7, then at columns 8-15
                load_four_transposed(part, &v_tile[16 * step + lane % 16][16 * j + lane / 16 * 8]);
                multiply(out[2 * j], p_part, part[0], part[1]);
                multiply(out[2 * j + 1], p_part, part[2], part[3]);
            }
        }
        __syncthreads();
    }

#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float share = __fdividef(1.0f, row_sum(total[half]));
        float *row = &o[(row0 + 16 * warp + 8 * half + lane / 4) * HEAD + lane % 4 * 2];
#pragma unroll
        for (int j = 0; j < HEAD / 8; ++j)
            *reinterpret_cast<float2 *>(&row[8 * j]) = make_float2(out[j][2 * half] * share, out[j][2 * half + 1] * share);
    }
}
