// dmma_gemm: C = A * B, row-major, double precision on the matrix units; m, n multiples of 32 and k of 16.
// Architectures: sm_80 sm_86 sm_89 sm_90 sm_100 sm_120
//
// A block of four warps computes a 32 x 32 tile of C, a warp 16 x 16 of it as 2 x 2 products m8n8k4, in steps of 16 along k
// through shared memory.
//
// Launch:     block = 128; grid = (n / 32, m / 32).
// Arguments:  0  m  int, rows of A and C
//             1  n  int, columns of B and C
//             2  k  int, columns of A and rows of B
//             3  a  const double[m * k]
//             4  b  const double[k * n]
//             5  c  double[m * n], output

constexpr int TILE = 32; // rows and columns of C a block
constexpr int STEP = 16; // along k
constexpr int PADDING = 2;
constexpr int THREADS = 128;
constexpr int FETCHES = TILE * STEP / (THREADS * 2); // of two doubles, of each tile a thread

__device__ void multiply(double (&sum)[2], double a, double b)
{
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+d"(sum[0]), "+d"(sum[1])
                 : "d"(a), "d"(b));
}

extern "C" __global__ void __launch_bounds__(THREADS)
    dmma_gemm(int m, int n, int k, const double *__restrict__ a, const double *__restrict__ b, double *__restrict__ c)
{
    __shared__ __align__(16) double a_tile[TILE][STEP + PADDING]; // [row][k]
    __shared__ __align__(16) double b_tile[STEP][TILE + PADDING]; // [k][column]

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
    const int warp_row = warp / 2 * 16, warp_column = warp % 2 * 16;

    double sum[2][2][2] = {};
#pragma unroll 1
    for (int k0 = 0; k0 < k; k0 += STEP) {
#pragma unroll
        for (int i = 0; i < FETCHES; ++i) {
            int at = (i * THREADS + threadIdx.x) * 2;
            int row = at / STEP, a_step = at % STEP, b_step = at / TILE, column = at % TILE;
            *reinterpret_cast<double2 *>(&a_tile[row][a_step]) =
                *reinterpret_cast<const double2 *>(&a[(size_t)(row0 + row) * k + k0 + a_step]);
            *reinterpret_cast<double2 *>(&b_tile[b_step][column]) =
                *reinterpret_cast<const double2 *>(&b[(size_t)(k0 + b_step) * n + column0 + column]);
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < STEP; step += 4) {
            // A lane brings one element of each: row (column) lane / 4, k lane % 4.
            double a_part[2], b_part[2];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                a_part[i] = a_tile[warp_row + 8 * i + lane / 4][step + lane % 4];
                b_part[i] = b_tile[step + lane % 4][warp_column + 8 * i + lane / 4];
            }
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int j = 0; j < 2; ++j)
                    multiply(sum[i][j], a_part[i], b_part[j]);
        }
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            int row = row0 + warp_row + 8 * i + lane / 4, column = column0 + warp_column + 8 * j + lane % 4 * 2;
            *reinterpret_cast<double2 *>(&c[(size_t)row * n + column]) = make_double2(sum[i][j][0], sum[i][j][1]);
        }
}
