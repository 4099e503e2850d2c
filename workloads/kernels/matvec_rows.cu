// matvec_rows: y += A x, a thread a row. The sum is kept in global memory, as PolyBench's atax, bicg and mvt have it: each step
// waits for the loads of the one before, and the threads of a warp read A a row apart.
//
// Launch:     one-dimensional, any block size; grid.x = ceil(n / block.x).
// Arguments:  0  A  const float[n * n]
//             1  x  const float[n]
//             2  y  float[n], input and output
//             3  n  int

extern "C" __global__ void matvec_rows(const float *A, const float *x, float *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        for (int j = 0; j < n; ++j)
            y[i] += A[i * n + j] * x[j];
}
