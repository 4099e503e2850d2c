// tf32_gemm: C = A * B, row-major, singles whose factors are rounded to TF32 (10 bits of fraction) first; m, n multiples of
// 64 and k of 16.
// Architectures: sm_80 sm_86 sm_89 sm_90 sm_100 sm_120
//
// A block of four warps computes a 64 x 64 tile of C, a warp 32 x 32 of it as 2 x 4 products m16n8k8, in steps of 16 along
// k through shared memory. Paddings let the eight rows, or four steps, that a warp reads at once lie in different banks.
//
// Launch:     block = 128; grid = (n / 64, m / 64).
// Arguments:  0  m  int, rows of A and C
//             1  n  int, columns of B and C
//             2  k  int, columns of A and rows of B
//             3  a  const float[m * k]
//             4  b  const float[k * n]
//             5  c  float[m * n], output

constexpr int TILE = 64; // rows and columns of C a block
constexpr int STEP = 16; // along k
constexpr int A_PADDING = 4, B_PADDING = 8;
constexpr int THREADS = 128;
constexpr int FETCHES = TILE * STEP / (THREADS * 4); // of four floats, of each tile a thread

__device__ unsigned rounded(float value)
{
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

__device__ uint4 rounded(float4 x) { return make_uint4(rounded(x.x), rounded(x.y), rounded(x.z), rounded(x.w)); }

__device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

extern "C" __global__ void __launch_bounds__(THREADS)
    tf32_gemm(int m, int n, int k, const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ c)
{
    __shared__ __align__(16) unsigned a_tile[TILE][STEP + A_PADDING]; // [row][k]
    __shared__ __align__(16) unsigned b_tile[STEP][TILE + B_PADDING]; // [k][column]

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
    const int warp_row = warp / 2 * 32 + lane / 4, warp_column = warp % 2 * 32 + lane / 4;

    float sum[2][4][4] = {};
#pragma unroll 1
    for (int k0 = 0; k0 < k; k0 += STEP) {
#pragma unroll
        for (int i = 0; i < FETCHES; ++i) {
            int at = (i * THREADS + threadIdx.x) * 4;
            int row = at / STEP, a_step = at % STEP, b_step = at / TILE, column = at % TILE;
            *reinterpret_cast<uint4 *>(&a_tile[row][a_step]) =
                rounded(*reinterpret_cast<const float4 *>(&a[(size_t)(row0 + row) * k + k0 + a_step]));
            *reinterpret_cast<uint4 *>(&b_tile[b_step][column]) =
                rounded(*reinterpret_cast<const float4 *>(&b[(size_t)(k0 + b_step) * n + column0 + column]));
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < STEP; step += 8) {
            // Of A, a lane brings rows lane / 4 and eight below at k lane % 4 and four behind; of B, column lane / 4.
            unsigned a_part[2][4], b_part[4][2];
            const int k_part = step + lane % 4;
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int part = 0; part < 4; ++part)
                    a_part[i][part] = a_tile[warp_row + 16 * i + part % 2 * 8][k_part + part / 2 * 4];
#pragma unroll
            for (int j = 0; j < 4; ++j)
#pragma unroll
                for (int part = 0; part < 2; ++part)
                    b_part[j][part] = b_tile[k_part + part * 4][warp_column + 8 * j];
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    multiply(sum[i][j], a_part[i], b_part[j]);
        }
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            int row = row0 + warp_row + 16 * i, column = column0 + warp % 2 * 32 + 8 * j + lane % 4 * 2;
            *reinterpret_cast<float2 *>(&c[(size_t)row * n + column]) = make_float2(sum[i][j][0], sum[i][j][1]);
            *reinterpret_cast<float2 *>(&c[(size_t)(row + 8) * n + column]) = make_float2(sum[i][j][2], sum[i][j][3]);
        }
}
