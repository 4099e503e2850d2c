// softmax: out[row][i] = exp(in[row][i] - max(in[row])) / sum over j of exp(in[row][j] - max(in[row])).
// One block a row; three passes over the row: its maximum, the sum of the exponentials, the quotients.
// Maximum and sum go through warp shuffles and then, a value a warp, through shared memory.
//
// Launch:     grid.x = rows; block.x a multiple of 32, at most 1024.
// Arguments:  0  in       const float[rows * columns]
//             1  out      float[rows * columns], output
//             2  columns  int

struct Add {
    static __device__ float identity() { return 0.0f; }
    static __device__ float join(float a, float b) { return a + b; }
};

struct Max {
    static __device__ float identity() { return -__int_as_float(0x7f800000); } // minus infinity
    static __device__ float join(float a, float b) { return fmaxf(a, b); }
};

template <typename Op> __device__ float warp_reduce(float value)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value = Op::join(value, __shfl_xor_sync(0xffffffff, value, distance));
    return value; // in every lane
}

template <typename Op> __device__ float block_reduce(float value, float *warp_values)
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    value = warp_reduce<Op>(value);
    __syncthreads(); // the previous reduction has been read
    if (lane == 0)
        warp_values[warp] = value;
    __syncthreads();
    value = lane < blockDim.x / 32 ? warp_values[lane] : Op::identity();
    return warp_reduce<Op>(value); // in every thread
}

extern "C" __global__ void softmax(const float *__restrict__ in, float *__restrict__ out, int columns)
{
    __shared__ float warp_values[32];
    in += (size_t)blockIdx.x * columns;
    out += (size_t)blockIdx.x * columns;

    float largest = Max::identity();
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        largest = fmaxf(largest, in[i]);
    largest = block_reduce<Max>(largest, warp_values);

    float sum = 0.0f;
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        sum += expf(in[i] - largest);
    sum = block_reduce<Add>(sum, warp_values);

    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        out[i] = expf(in[i] - largest) / sum;
}
