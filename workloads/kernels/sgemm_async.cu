// sgemm_async: C = alpha * A * B + beta * C, row-major, single precision, any m, n and k multiples of 4. With beta == 0 the
// old C is not read.
//
// Architectures: sm_80 sm_86 sm_89 sm_90 sm_100 sm_120
//
// A block computes a 64 x 64 tile of C, a thread 4 x 4 of it in registers, in steps of 16 along k. While it multiplies one
// pair of tiles, the next is copied from global to shared memory past the registers (cp.async), two buffers in turn; elements
// outside the matrices are filled with zeros by the copy itself. A thread copies 16 bytes of A and 16 of B a step.
//
// Launch:     block = (16, 16); grid = (ceil(n / 64), ceil(m / 64)).
// Arguments:  0  m      int, rows of A and C
//             1  n      int, columns of B and C, a multiple of 4
//             2  k      int, columns of A and rows of B, a multiple of 4
//             3  alpha  float
//             4  a      const float[m * k]
//             5  b      const float[k * n]
//             6  beta   float
//             7  c      float[m * n], output (and input unless beta == 0)

constexpr int TILE = 64;      // rows and columns of C a block
constexpr int STEP = 16;      // along k
constexpr int PER_THREAD = 4; // rows and columns of C a thread
constexpr int THREADS = (TILE / PER_THREAD) * (TILE / PER_THREAD);
constexpr int PADDING = 4;

// Copies 16 bytes, or fills them with zeros.
__device__ __forceinline__ void copy16(float *to, const float *from, bool inside)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from),
                 "r"(inside ? 16 : 0));
}

extern "C" __global__ void __launch_bounds__(THREADS)
    sgemm_async(int m, int n, int k, float alpha, const float *__restrict__ a, const float *__restrict__ b, float beta,
                float *__restrict__ c)
{
    __shared__ __align__(16) float a_tile[2][TILE][STEP + PADDING]; // [buffer][row][k]
    __shared__ __align__(16) float b_tile[2][STEP][TILE];           // [buffer][k][column]

    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const int a_row = thread / (STEP / 4), a_k = thread % (STEP / 4) * 4;
    const int b_k = thread / (TILE / 4), b_column = thread % (TILE / 4) * 4;

    auto copy = [&](int buffer, int k0) {
        bool a_inside = first_row + a_row < m && k0 + a_k < k;
        copy16(&a_tile[buffer][a_row][a_k], a_inside ? &a[(first_row + a_row) * k + k0 + a_k] : a, a_inside);
        bool b_inside = k0 + b_k < k && first_column + b_column < n;
        copy16(&b_tile[buffer][b_k][b_column], b_inside ? &b[(k0 + b_k) * n + first_column + b_column] : b, b_inside);
        asm volatile("cp.async.commit_group;");
    };

    float sum[PER_THREAD][PER_THREAD] = {};
    copy(0, 0);
    for (int k0 = 0, buffer = 0; k0 < k; k0 += STEP, buffer ^= 1) {
        if (k0 + STEP < k) {
            copy(buffer ^ 1, k0 + STEP);
            asm volatile("cp.async.wait_group 1;");
        } else {
            asm volatile("cp.async.wait_group 0;");
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < STEP; ++step) {
            float4 b4 = *reinterpret_cast<float4 *>(&b_tile[buffer][step][threadIdx.x * PER_THREAD]);
            float b_column4[PER_THREAD] = {b4.x, b4.y, b4.z, b4.w};
#pragma unroll
            for (int i = 0; i < PER_THREAD; ++i) {
                float a_one = a_tile[buffer][threadIdx.y * PER_THREAD + i][step];
#pragma unroll
                for (int j = 0; j < PER_THREAD; ++j)
                    sum[i][j] += a_one * b_column4[j];
            }
        }
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i)
#pragma unroll
        for (int j = 0; j < PER_THREAD; ++j) {
            int row = first_row + threadIdx.y * PER_THREAD + i;
            int column = first_column + threadIdx.x * PER_THREAD + j;
            if (row < m && column < n) {
                float *element = &c[row * n + column];
                *element = beta == 0.0f ? alpha * sum[i][j] : alpha * sum[i][j] + beta * *element;
            }
        }
}
