// scalar_product: dot products of pairs of vectors, a block a pair. Each of 1024 partial sums in shared memory is of every 1024th
// element; then they are added in a tree, as CUDA's sample of that name does.
//
// Launch:     one-dimensional, any grid and block size.
// Arguments:  0  c        float[vectors], output
//             1  a        const float[vectors * n]
//             2  b        const float[vectors * n]
//             3  vectors  int
//             4  n        int

extern "C" __global__ void scalar_product(float *c, const float *a, const float *b, int vectors, int n)
{
    __shared__ float sums[1024];
    for (int vector = blockIdx.x; vector < vectors; vector += gridDim.x) {
        for (int place = threadIdx.x; place < 1024; place += blockDim.x) {
            float sum = 0.0f;
            for (int k = vector * n + place; k < (vector + 1) * n; k += 1024)
                sum += a[k] * b[k];
            sums[place] = sum;
        }
        for (int stride = 512; stride > 0; stride >>= 1) {
            __syncthreads();
            for (int place = threadIdx.x; place < stride; place += blockDim.x)
                sums[place] += sums[place + stride];
        }
        __syncthreads();
        if (threadIdx.x == 0)
            c[vector] = sums[0];
    }
}
