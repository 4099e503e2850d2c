// histogram: 256 bins of width 2^shift from low upwards; values outside them are counted apart.
// Each block counts in shared memory with atomics and then adds its non-empty bins to the global ones.
// The values outside are counted a warp at a time with a vote.
//
// Launch:     one-dimensional, block.x a multiple of 32; any grid size.
// Arguments:  0  values   const unsigned int[n]
//             1  n        int
//             2  low      unsigned int, where bin 0 begins
//             3  shift    unsigned int, log2 of the bin width, less than 32
//             4  bins     unsigned int[256], input and output: the caller sets them (to zero)
//             5  outside  unsigned int[1], input and output: likewise

constexpr int BINS = 256;

extern "C" __global__ void histogram(const unsigned int *__restrict__ values, int n, unsigned int low,
                                     unsigned int shift, unsigned int *bins, unsigned int *outside)
{
    __shared__ unsigned int block_bins[BINS];

    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x)
        block_bins[bin] = 0;
    __syncthreads();

    // The trip count is that of the block, so that every vote sees all lanes of its warp.
    unsigned int lane = threadIdx.x % 32;
    int stride = gridDim.x * blockDim.x;
    for (int first = blockIdx.x * blockDim.x; first < n; first += stride) {
        int i = first + threadIdx.x;
        bool is_outside = false;
        if (i < n) {
            unsigned int bin = (values[i] - low) >> shift; // below low it wraps round to a large number
            is_outside = bin >= BINS || values[i] < low;
            if (!is_outside)
                atomicAdd(&block_bins[bin], 1u);
        }
        unsigned int votes = __ballot_sync(0xffffffff, is_outside);
        if (lane == 0 && votes != 0)
            atomicAdd(outside, __popc(votes));
    }
    __syncthreads();

    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) {
        unsigned int count = block_bins[bin];
        if (count != 0)
            atomicAdd(&bins[bin], count);
    }
}
