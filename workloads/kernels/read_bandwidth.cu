// read_bandwidth: when all blocks read a buffer, 16 bytes a thread at a time, by the SMs' clocks: past the L1 (ld.cg), all threads
// side by side through the whole buffer; or through the L1 (ld.ca), each block its own share. All blocks meet before the passes that
// count, so they must be resident together. The clocks of all SMs are taken as one.
//
// Launch:     one-dimensional, at most as many blocks as fit at a time.
// Arguments:  0  share    int, words of 16 bytes that a block reads a pass; a multiple of 4 * block.x
//             1  warm     int, passes before the clock is read
//             2  passes   int, passes that count
//             3  level1   int, 1 through the L1
//             4  words    const unsigned[4 * share * blocks]
//             5  arrived  unsigned[1], 0 before
//             6  cycles   unsigned long long[2 * blocks], when each block began and ended
//             7  sum      unsigned[block.x * blocks], of all words that a thread read

#define AT_ONCE 4

template <bool L1> __device__ unsigned pass(const uint4 *from, int first, int words, int stride)
{
    unsigned sum = 0;
#pragma unroll 1
    for (int i = first; i < words; i += AT_ONCE * stride) {
        uint4 v[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k)
            v[k] = L1 ? __ldca(from + i + k * stride) : __ldcg(from + i + k * stride);
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k)
            sum += v[k].x + v[k].y + v[k].z + v[k].w;
    }
    return sum;
}

extern "C" __global__ void __launch_bounds__(1024)
    read_bandwidth(int share, int warm, int passes, int level1, const uint4 *words, unsigned *arrived,
                   unsigned long long *cycles, unsigned *sum)
{
    unsigned all = 0, blocks = gridDim.x;
    unsigned long long start = 0;
#pragma unroll 1
    for (int p = 0; p < warm + passes; ++p) {
        if (p == warm) {
            __syncthreads();
            if (threadIdx.x == 0) {
                atomicAdd(arrived, 1);
                while (*(volatile unsigned *)arrived < blocks)
                    ;
            }
            __syncthreads();
            start = clock64();
        }
        if (level1)
            all += pass<true>(words + (long long)blockIdx.x * share, threadIdx.x, share, blockDim.x);
        else
            all += pass<false>(words, blockIdx.x * blockDim.x + threadIdx.x, share * blocks, blockDim.x * blocks);
    }
    sum[blockIdx.x * blockDim.x + threadIdx.x] = all;
    __syncthreads();
    if (threadIdx.x == 0) {
        cycles[2 * blockIdx.x] = start;
        cycles[2 * blockIdx.x + 1] = clock64();
    }
}
