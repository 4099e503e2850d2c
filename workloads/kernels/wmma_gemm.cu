// wmma_gemm: C = A * B, row-major, half factors, sums in single precision; m, n multiples of 64 and k of 32.
//
// A block of four warps computes a 64 x 64 tile of C, a warp 32 x 32 of it as 2 x 2 fragments of 16 x 16, in steps of 32
// along k: a step brings a 64 x 32 tile of A and a 32 x 64 tile of B to shared memory, 16 bytes a thread and access.
// Rows of both tiles are padded by 16 bytes, so that the eight rows of a matrix load lie in different banks.
//
// Launch:     block = 128; grid = (n / 64, m / 64).
// Arguments:  0  m  int, rows of A and C
//             1  n  int, columns of B and C
//             2  k  int, columns of A and rows of B
//             3  a  const half[m * k]
//             4  b  const half[k * n]
//             5  c  float[m * n], output

#include <mma.h>

using namespace nvcuda;

constexpr int TILE = 64; // rows and columns of C a block
constexpr int STEP = 32; // along k
constexpr int PADDING = 8; // halves
constexpr int THREADS = 128;
constexpr int VECTOR = 8; // halves that a thread moves at once
constexpr int FETCHES = TILE * STEP / (THREADS * VECTOR); // of each tile a thread

extern "C" __global__ void __launch_bounds__(THREADS)
    wmma_gemm(int m, int n, int k, const half *__restrict__ a, const half *__restrict__ b, float *__restrict__ c)
{
    __shared__ __align__(16) half a_tile[TILE][STEP + PADDING]; // [row][k]
    __shared__ __align__(16) half b_tile[STEP][TILE + PADDING]; // [k][column]

    const int warp = threadIdx.x / 32;
    const int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;

    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[2][2];
    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j)
            wmma::fill_fragment(sum[i][j], 0.0f);

#pragma unroll 1
    for (int k0 = 0; k0 < k; k0 += STEP) {
#pragma unroll
        for (int i = 0; i < FETCHES; ++i) {
            int at = (i * THREADS + threadIdx.x) * VECTOR;
            int row = at / STEP, a_step = at % STEP, b_step = at / TILE, column = at % TILE;
            *reinterpret_cast<uint4 *>(&a_tile[row][a_step]) =
                *reinterpret_cast<const uint4 *>(&a[(size_t)(row0 + row) * k + k0 + a_step]);
            *reinterpret_cast<uint4 *>(&b_tile[b_step][column]) =
                *reinterpret_cast<const uint4 *>(&b[(size_t)(k0 + b_step) * n + column0 + column]);
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < STEP; step += 16) {
            wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> a_part[2];
            wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::row_major> b_part[2];
            for (int i = 0; i < 2; ++i)
                wmma::load_matrix_sync(a_part[i], &a_tile[warp_row + 16 * i][step], STEP + PADDING);
            for (int j = 0; j < 2; ++j)
                wmma::load_matrix_sync(b_part[j], &b_tile[step][warp_column + 16 * j], TILE + PADDING);
            for (int i = 0; i < 2; ++i)
                for (int j = 0; j < 2; ++j)
                    wmma::mma_sync(sum[i][j], a_part[i], b_part[j], sum[i][j]);
        }
        __syncthreads();
    }

    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
            float *corner = &c[(size_t)(row0 + warp_row + 16 * i) * n + column0 + warp_column + 16 * j];
            wmma::store_matrix_sync(corner, sum[i][j], n, wmma::mem_row_major);
        }
}
