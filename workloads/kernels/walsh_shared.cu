// walsh_shared: fast Walsh transforms in shared memory, one a block, in steps of two levels and one of one level if their number
// is odd.
//
// Launch:     grid.x = transforms, block.x = 2^log2_size / 4; dynamic shared memory 4 * 2^log2_size bytes.
// Arguments:  0  out        float[transforms << log2_size], output; may be `in`
//             1  in         const float[transforms << log2_size]
//             2  log2_size  int

extern "C" __global__ void walsh_shared(float *out, const float *in, int log2_size)
{
    extern __shared__ float data[];
    int size = 1 << log2_size;
    const float *source = in + (blockIdx.x << log2_size);
    float *target = out + (blockIdx.x << log2_size);
    for (int place = threadIdx.x; place < size; place += blockDim.x)
        data[place] = source[place];
    int place = threadIdx.x;
    for (int stride = size >> 2; stride > 0; stride >>= 2) {
        int low = place & (stride - 1);
        int i0 = ((place - low) << 2) + low, i1 = i0 + stride, i2 = i1 + stride, i3 = i2 + stride;
        __syncthreads();
        float d0 = data[i0], d1 = data[i1], d2 = data[i2], d3 = data[i3];
        float a = d0 + d2, b = d1 + d3, c = d0 - d2, d = d1 - d3;
        data[i0] = a + b;
        data[i1] = a - b;
        data[i2] = c + d;
        data[i3] = c - d;
    }
    if (log2_size & 1) {
        __syncthreads();
        for (int pair = threadIdx.x; pair < size / 2; pair += blockDim.x) {
            float a = data[2 * pair], b = data[2 * pair + 1];
            data[2 * pair] = a + b;
            data[2 * pair + 1] = a - b;
        }
    }
    __syncthreads();
    for (int at = threadIdx.x; at < size; at += blockDim.x)
        target[at] = data[at];
}
