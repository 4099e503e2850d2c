// syrk: C = alpha A A' + beta C, a thread an element. The sum is kept in global memory, as PolyBench has it.
//
// Launch:     two-dimensional, any block size; grid = (ceil(n / block.x), ceil(n / block.y)).
// Arguments:  0  C      float[n * n], input and output
//             1  A      const float[n * n]
//             2  alpha  float
//             3  beta   float
//             4  n      int

extern "C" __global__ void syrk(float *C, const float *A, float alpha, float beta, int n)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y * blockDim.y + threadIdx.y;
    if (i < n && j < n) {
        C[i * n + j] *= beta;
        for (int k = 0; k < n; ++k)
            C[i * n + j] += alpha * A[i * n + k] * A[j * n + k];
    }
}
