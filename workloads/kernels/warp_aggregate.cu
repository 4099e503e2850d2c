// warp_aggregate: for every key, the sum of its values and the number of warps that held it: lanes with the same key find each
// other, reduce, and one of them adds. Also counts the elements whose key is odd, and keeps the largest value, block by block.
//
// Architectures: sm_80 sm_86 sm_89 sm_90 sm_100 sm_120
//
// Launch:     one-dimensional, at least n threads.
// Arguments:  0  keys    const unsigned[n], below 64
//             1  values  const unsigned[n]
//             2  sums    unsigned[64], input and output
//             3  warps   unsigned[64], input and output
//             4  odd     unsigned[1], input and output
//             5  most    unsigned[1], input and output
//             6  n       int

extern "C" __global__ void warp_aggregate(const unsigned *__restrict__ keys, const unsigned *__restrict__ values,
                                          unsigned *sums, unsigned *warps, unsigned *odd, unsigned *most, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned key = i < n ? keys[i] : 0, value = i < n ? values[i] : 0;

    int odd_keys = __syncthreads_count(key % 2);
    if (threadIdx.x == 0)
        atomicAdd(odd, odd_keys);
    unsigned largest = __reduce_max_sync(0xffffffff, value);
    if (threadIdx.x % 32 == 0)
        atomicMax(most, largest);

    if (i >= n)
        return;
    unsigned peers = __match_any_sync(__activemask(), key);
    unsigned sum = __reduce_add_sync(peers, value);
    if ((peers & ((1u << threadIdx.x % 32) - 1)) == 0) {
        atomicAdd(&sums[key], sum);
        atomicAdd(&warps[key], 1u);
    }
}
