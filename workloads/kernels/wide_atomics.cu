// wide_atomics: for every element, its bin counts it in 64 bits, adds it in double precision, and keeps the largest one by
// compare-and-swap. Bins of the block in shared memory, then of the grid.
//
// Launch:     one-dimensional, at least 16 threads a block.
// Arguments:  0  values   const unsigned[n]
//             1  counts   unsigned long long[16], input and output, shifted by 40, plus the sum of the elements
//             2  sums     double[16], input and output
//             3  largest  unsigned long long[16], input and output
//             4  n        int

constexpr int BINS = 16;

extern "C" __global__ void wide_atomics(const unsigned *__restrict__ values, unsigned long long *counts, double *sums,
                                        unsigned long long *largest, int n)
{
    __shared__ unsigned long long block_counts[BINS];
    __shared__ double block_sums[BINS];
    if (threadIdx.x < BINS) {
        block_counts[threadIdx.x] = 0;
        block_sums[threadIdx.x] = 0.0;
    }
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        unsigned value = values[i], bin = value % BINS;
        atomicAdd(&block_counts[bin], (1ull << 40) + value);
        atomicAdd(&block_sums[bin], 0.5 * value);
        unsigned long long wanted = (unsigned long long)value << 20, seen = largest[bin];
        while (seen < wanted) {
            unsigned long long before = atomicCAS(&largest[bin], seen, wanted);
            if (before == seen)
                break;
            seen = before;
        }
    }
    __syncthreads();
    if (threadIdx.x < BINS) {
        atomicAdd(&counts[threadIdx.x], block_counts[threadIdx.x]);
        atomicAdd(&sums[threadIdx.x], block_sums[threadIdx.x]);
    }
}
