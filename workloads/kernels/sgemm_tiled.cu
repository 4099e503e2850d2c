// sgemm_tiled: C = alpha * A * B + beta * C, row-major, any m, n, k. With beta == 0 the old C is not read.
//
// A block computes a 64 x 64 tile of C, a thread 4 x 4 of it in registers, in steps of 16 along k:
// one step reads a 64 x 16 tile of A (kept transposed) and a 16 x 64 tile of B from shared memory, and meanwhile
// fetches the next two tiles from global memory into registers. A thread then issues 16 fused multiply-adds for
// two 16-byte shared loads. Elements outside the matrices are fetched as zero.
// The rows of the transposed A tile are padded by one 16-byte word: its scattered stores conflict two ways, not 16.
//
// Launch:     block = (16, 16); grid = (ceil(n / 64), ceil(m / 64)).
// Arguments:  0  m      int, rows of A and C
//             1  n      int, columns of B and C
//             2  k      int, columns of A and rows of B
//             3  alpha  float
//             4  a      const float[m * k]
//             5  b      const float[k * n]
//             6  beta   float
//             7  c      float[m * n], output (and input unless beta == 0)

constexpr int TILE = 64;      // rows and columns of C a block
constexpr int STEP = 16;      // along k
constexpr int PER_THREAD = 4; // rows and columns of C a thread
constexpr int THREADS = (TILE / PER_THREAD) * (TILE / PER_THREAD);
constexpr int FETCHES = TILE * STEP / THREADS; // elements of each tile that a thread brings
constexpr int PADDING = 4;

extern "C" __global__ void __launch_bounds__(THREADS)
    sgemm_tiled(int m, int n, int k, float alpha, const float *__restrict__ a, const float *__restrict__ b, float beta,
                float *__restrict__ c)
{
    __shared__ __align__(16) float a_tile[STEP][TILE + PADDING]; // [k][row]
    __shared__ __align__(16) float b_tile[STEP][TILE];           // [k][column]

    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int first_row = blockIdx.y * TILE;
    const int first_column = blockIdx.x * TILE;

    // Neighbouring threads fetch neighbouring addresses: along k in A, along the columns in B.
    const int a_k = thread % STEP, a_row = thread / STEP;
    const int b_column = thread % TILE, b_k = thread / TILE;

    float a_next[FETCHES], b_next[FETCHES];
    auto fetch = [&](int k0) {
#pragma unroll
        for (int i = 0; i < FETCHES; ++i) {
            int row = first_row + a_row + i * (THREADS / STEP);
            a_next[i] = row < m && k0 + a_k < k ? a[row * k + k0 + a_k] : 0.0f;
            int step = k0 + b_k + i * (THREADS / TILE);
            b_next[i] = step < k && first_column + b_column < n ? b[step * n + first_column + b_column] : 0.0f;
        }
    };

    float sum[PER_THREAD][PER_THREAD] = {};
    fetch(0);
    for (int k0 = 0; k0 < k; k0 += STEP) {
#pragma unroll
        for (int i = 0; i < FETCHES; ++i) {
            a_tile[a_k][a_row + i * (THREADS / STEP)] = a_next[i];
            b_tile[b_k + i * (THREADS / TILE)][b_column] = b_next[i];
        }
        __syncthreads();
        if (k0 + STEP < k)
            fetch(k0 + STEP);

#pragma unroll
        for (int step = 0; step < STEP; ++step) {
            float4 a4 = *reinterpret_cast<float4 *>(&a_tile[step][threadIdx.y * PER_THREAD]);
            float4 b4 = *reinterpret_cast<float4 *>(&b_tile[step][threadIdx.x * PER_THREAD]);
            float a_row4[PER_THREAD] = {a4.x, a4.y, a4.z, a4.w};
            float b_column4[PER_THREAD] = {b4.x, b4.y, b4.z, b4.w};
#pragma unroll
            for (int i = 0; i < PER_THREAD; ++i)
#pragma unroll
                for (int j = 0; j < PER_THREAD; ++j)
                    sum[i][j] += a_row4[i] * b_column4[j];
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
