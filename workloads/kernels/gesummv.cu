// gesummv: y = alpha A x + beta B x, a thread a row. Both sums are kept in global memory, as PolyBench has it.
//
// Launch:     one-dimensional, any block size; grid.x = ceil(n / block.x).
// Arguments:  0  A      const float[n * n]
//             1  B      const float[n * n]
//             2  x      const float[n]
//             3  y      float[n], input and output
//             4  tmp    float[n], input and output
//             5  alpha  float
//             6  beta   float
//             7  n      int

extern "C" __global__ void gesummv(const float *A, const float *B, const float *x, float *y, float *tmp, float alpha,
                                   float beta, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        for (int j = 0; j < n; ++j) {
            tmp[i] += A[i * n + j] * x[j];
            y[i] += B[i * n + j] * x[j];
        }
        y[i] = alpha * tmp[i] + beta * y[i];
    }
}
