// matmul_steps: C = alpha A B + beta C, a thread an element. The sum is kept in global memory, as PolyBench's 2mm and 3mm have it.
//
// Launch:     two-dimensional, any block size; grid = (ceil(n / block.x), ceil(n / block.y)).
// Arguments:  0  C      float[n * n], input and output
//             1  A      const float[n * n]
//             2  B      const float[n * n]
//             3  alpha  float
//             4  beta   float
//             5  n      int

extern "C" __global__ void matmul_steps(float *C, const float *A, const float *B, float alpha, float beta, int n)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y * blockDim.y + threadIdx.y;
    if (i < n && j < n) {
        C[i * n + j] *= beta;
        for (int k = 0; k < n; ++k)
            C[i * n + j] += alpha * A[i * n + k] * B[k * n + j];
    }
}
