// sgemm_naive: C = alpha * A * B + beta * C, row-major, one thread an element of C, operands straight from global memory.
// With beta == 0 the old C is not read. Reference point for sgemm_tiled.
//
// Launch:     two-dimensional, any block shape; grid = (ceil(n / block.x), ceil(m / block.y)).
// Arguments:  0  m      int, rows of A and C
//             1  n      int, columns of B and C
//             2  k      int, columns of A and rows of B
//             3  alpha  float
//             4  a      const float[m * k]
//             5  b      const float[k * n]
//             6  beta   float
//             7  c      float[m * n], output (and input unless beta == 0)

extern "C" __global__ void sgemm_naive(int m, int n, int k, float alpha, const float *__restrict__ a,
                                       const float *__restrict__ b, float beta, float *__restrict__ c)
{
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= m || column >= n)
        return;

    float sum = 0.0f;
    for (int i = 0; i < k; ++i)
        sum += a[row * k + i] * b[i * n + column];

    float *element = &c[row * n + column];
    *element = beta == 0.0f ? alpha * sum : alpha * sum + beta * *element;
}
