// scan_blocks: exclusive sums of arrays that lie one behind the other, four elements a thread, in shared memory with a step for
// each power of two (Hillis and Steele).
//
// Launch:     grid.x = elements / 1024, block.x = 256.
// Arguments:  0  out     uint4[elements / 4], output
//             1  in      const uint4[elements / 4]
//             2  length  of an array, a power of two from 8 to 1024

extern "C" __global__ void scan_blocks(uint4 *out, const uint4 *in, unsigned length)
{
    __shared__ unsigned sums[512];
    unsigned place = blockIdx.x * 256 + threadIdx.x, size = length / 4;
    uint4 own = in[place];
    own.y += own.x;
    own.z += own.y;
    own.w += own.z;
    unsigned at = 2 * threadIdx.x - (threadIdx.x & (size - 1));
    sums[at] = 0;
    at += size;
    sums[at] = own.w;
    for (unsigned offset = 1; offset < size; offset <<= 1) {
        __syncthreads();
        unsigned sum = sums[at] + sums[at - offset];
        __syncthreads();
        sums[at] = sum;
    }
    unsigned before = sums[at] - own.w;
    out[place] = make_uint4(before, before + own.x, before + own.y, before + own.z);
}
