// matvec_columns: y += A' x, a thread a column of A. As matvec_rows, but the threads of a warp read A side by side.
//
// Launch:     one-dimensional, any block size; grid.x = ceil(n / block.x).
// Arguments:  0  A  const float[n * n]
//             1  x  const float[n]
//             2  y  float[n], input and output
//             3  n  int

extern "C" __global__ void matvec_columns(const float *A, const float *x, float *y, int n)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j < n)
        for (int i = 0; i < n; ++i)
            y[j] += A[i * n + j] * x[i];
}
