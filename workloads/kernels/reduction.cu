// reduction: *sum += values[0] + … + values[n - 1].
// Each thread adds up a grid-stride slice, each warp its threads by shuffles, the first warp the warps of the block
// through shared memory, and one thread a block adds to the result atomically.
//
// Launch:     one-dimensional; block.x a multiple of 32, at most 1024; any grid size.
// Arguments:  0  values  const float[n]
//             1  sum     float[1], input and output: the caller sets it (to zero)
//             2  n       int

__device__ float warp_sum(float value)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_down_sync(0xffffffff, value, distance);
    return value;
}

extern "C" __global__ void reduction(const float *__restrict__ values, float *sum, int n)
{
    __shared__ float warp_sums[32];

    float value = 0.0f;
    int stride = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride)
        value += values[i];

    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    value = warp_sum(value);
    if (lane == 0)
        warp_sums[warp] = value;
    __syncthreads();

    if (warp == 0) {
        value = lane < blockDim.x / 32 ? warp_sums[lane] : 0.0f;
        value = warp_sum(value);
        if (lane == 0)
            atomicAdd(sum, value);
    }
}
