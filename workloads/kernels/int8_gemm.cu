// int8_gemm: C = A * B^T, signed bytes with 32-bit sums, exact; A and B both row-major along k; m, n multiples of 64 and
// k of 64.
//
// A block of four warps computes a 64 x 64 tile of C, a warp 32 x 32 of it as 2 x 4 products of 16 x 8, in steps of 64
// along k: 64 x 64 bytes of each factor come to shared memory and from there by ldmatrix, which moves 8 x 8 pairs of
// bytes, so that a lane gets four neighbours along k. From sm_80 on a product is one m16n8k32; sm_75 has m8n8k16 only.
// Rows of the tiles are padded by 16 bytes, so that the eight rows of a matrix lie in different banks.
//
// Launch:     block = 128; grid = (n / 64, m / 64).
// Arguments:  0  m  int, rows of A and C
//             1  n  int, rows of B, columns of C
//             2  k  int, columns of A and B
//             3  a  const signed char[m * k]
//             4  b  const signed char[n * k]
//             5  c  int[m * n], output

constexpr int TILE = 64; // rows and columns of C a block
constexpr int STEP = 64; // along k
constexpr int PADDING = 16;
constexpr int THREADS = 128;
constexpr int FETCHES = TILE * STEP / (THREADS * 16); // of each tile a thread

__device__ void load_four(unsigned (&to)[4], const void *row)
{
    unsigned address = __cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address));
}

__device__ void multiply(int (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    auto small = [](int &c0, int &c1, unsigned a, unsigned b) {
        asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                     : "+r"(c0), "+r"(c1)
                     : "r"(a), "r"(b));
    };
    small(sum[0], sum[1], a[0], b0);
    small(sum[0], sum[1], a[2], b1);
    small(sum[2], sum[3], a[1], b0);
    small(sum[2], sum[3], a[3], b1);
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS)
    int8_gemm(int m, int n, int k, const signed char *__restrict__ a, const signed char *__restrict__ b,
              int *__restrict__ c)
{
    __shared__ __align__(16) signed char a_tile[TILE][STEP + PADDING]; // [row][k]
    __shared__ __align__(16) signed char b_tile[TILE][STEP + PADDING]; // [column][k]

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;

    int sum[2][4][4] = {};
#pragma unroll 1
    for (int k0 = 0; k0 < k; k0 += STEP) {
#pragma unroll
        for (int i = 0; i < FETCHES; ++i) {
            int at = (i * THREADS + threadIdx.x) * 16;
            int row = at / STEP, step = at % STEP;
            *reinterpret_cast<uint4 *>(&a_tile[row][step]) =
                *reinterpret_cast<const uint4 *>(&a[(size_t)(row0 + row) * k + k0 + step]);
            *reinterpret_cast<uint4 *>(&b_tile[row][step]) =
                *reinterpret_cast<const uint4 *>(&b[(size_t)(column0 + row) * k + k0 + step]);
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < STEP; step += 32) {
            // Lanes 0-7, 8-15, 16-23 and 24-31 name the rows of four matrices of 8 x 16 bytes: upper and lower half of
            // A's rows at k 0-15, the same at k 16-31; of B, columns 0-7 at both k, then columns 8-15.
            unsigned a_part[2][4], b_part[2][4];
#pragma unroll
            for (int i = 0; i < 2; ++i)
                load_four(a_part[i], &a_tile[warp_row + 16 * i + lane % 16][step + lane / 16 * 16]);
#pragma unroll
            for (int j = 0; j < 2; ++j)
                load_four(b_part[j],
                          &b_tile[warp_column + 16 * j + lane % 8 + lane / 16 * 8][step + lane / 8 % 2 * 16]);
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    multiply(sum[i][j], a_part[i], b_part[j / 2][j % 2 * 2], b_part[j / 2][j % 2 * 2 + 1]);
        }
        __syncthreads();
    }

    // Of a product, a lane holds two neighbours in row lane / 4 and two in the row eight below.
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            int row = row0 + warp_row + 16 * i + lane / 4, column = column0 + warp_column + 8 * j + lane % 4 * 2;
            *reinterpret_cast<int2 *>(&c[(size_t)row * n + column]) = make_int2(sum[i][j][0], sum[i][j][1]);
            *reinterpret_cast<int2 *>(&c[(size_t)(row + 8) * n + column]) = make_int2(sum[i][j][2], sum[i][j][3]);
        }
}
