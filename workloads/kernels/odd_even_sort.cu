// odd_even_sort: sorts arrays of pairs of key and value by their keys with an odd-even merge network in shared memory, 1024 pairs
// a block.
//
// Launch:     grid.x = pairs / 1024, block.x = 512.
// Arguments:  0  out_keys    unsigned[pairs], output
//             1  out_values  unsigned[pairs], output
//             2  keys        const unsigned[pairs]
//             3  values      const unsigned[pairs]
//             4  length      of an array, a power of two up to 1024
//             5  up          1: smallest first, 0: largest first

__device__ static inline void order(unsigned &key_a, unsigned &value_a, unsigned &key_b, unsigned &value_b, unsigned up)
{
    if ((key_a > key_b) == up) {
        unsigned key = key_a, value = value_a;
        key_a = key_b;
        value_a = value_b;
        key_b = key;
        value_b = value;
    }
}

extern "C" __global__ void odd_even_sort(unsigned *out_keys, unsigned *out_values, const unsigned *keys,
                                         const unsigned *values, unsigned length, unsigned up)
{
    __shared__ unsigned key[1024], value[1024];
    unsigned thread = threadIdx.x, first = blockIdx.x * 1024 + thread;
    key[thread] = keys[first];
    value[thread] = values[first];
    key[thread + 512] = keys[first + 512];
    value[thread + 512] = values[first + 512];
    for (unsigned size = 2; size <= length; size <<= 1) {
        unsigned stride = size / 2, offset = thread & (stride - 1);
        __syncthreads();
        unsigned at = 2 * thread - offset;
        order(key[at], value[at], key[at + stride], value[at + stride], up);
        for (stride >>= 1; stride > 0; stride >>= 1) {
            __syncthreads();
            at = 2 * thread - (thread & (stride - 1));
            if (offset >= stride)
                order(key[at - stride], value[at - stride], key[at], value[at], up);
        }
    }
    __syncthreads();
    out_keys[first] = key[thread];
    out_values[first] = value[thread];
    out_keys[first + 512] = key[thread + 512];
    out_values[first + 512] = value[thread + 512];
}
